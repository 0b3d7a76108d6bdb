// Splits loops over a few threads that spin while a forward is under way, and soon sleep behind it.
//
// Threads claim indices one by one, so one that is late, or that the system has put to sleep,
// holds up nobody: the others do its share. Which thread does what never changes a result.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <system_error>
#include <thread>
#include <vector>

class Pool {
  public:
    // The process's threads. Never destroyed: at exit they may still be asleep in it. A forked
    // process has none of its parent's threads, and gets a pool of its own.
    static Pool &shared() {
        static Pool *pool = [] {
            pthread_atfork(nullptr, nullptr, [] { pool = new Pool; });
            return new Pool;
        }();
        return *pool;
    }

    // Wakes `count` - 1 helpers until `close`, or as many as the system grants. Where another
    // forward has them, there are none.
    bool open(int count) {
        if (count < 2 || !owner_.try_lock()) return false;
        std::lock_guard<std::mutex> guard(asleep_);
        try {
            while (int(threads_.size()) < count - 1) {
                const int number = int(threads_.size());
                threads_.emplace_back([this, number] { serve(number); });
                threads_.back().detach();
            }
        } catch (const std::system_error &) {
            // Those there are do the work.
        }
        helpers_.store(count - 1, std::memory_order_release);
        wake_.notify_all();
        return true;
    }

    void close() {
        helpers_.store(0, std::memory_order_release);
        owner_.unlock();
    }

    // Runs body(index) for each index in [0, count) and returns when all are done. Every thread
    // takes some `claims` times, neighbouring ones each time.
    template <class Body> void each(bool opened, int count, const Body &body, int claims = CLAIMS) {
        if (!opened || count == 1 || count > int(Ticket::MASK)) {
            for (int index = 0; index < count; ++index) body(index);
            return;
        }
        run_.store([](const void *context, int index) { (*static_cast<const Body *>(context))(index); },
                   std::memory_order_relaxed);
        context_.store(&body, std::memory_order_relaxed);
        const int parts = claims * (helpers_.load(std::memory_order_relaxed) + 1);
        grain_.store((count + parts - 1) / parts, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        ++epoch_;
        ticket_.store(Ticket::of(epoch_, count), std::memory_order_release);
        work();
        for (unsigned turn = 1; done_.load(std::memory_order_acquire) != count; ++turn) wait(turn);
    }

  private:
    using Run = void (*)(const void *, int);
    static constexpr int LINGER = 1 << 14;  // pauses, some 0.3 ms: spinning longer delays an event loop
    static constexpr int CLAIMS = 4;  // of each thread in a loop: few, as claiming costs, but some are late

    // Which loop, how many indices it has, and the next to claim, changed as one: whoever is
    // late for a loop cannot take an index of the following one for its own.
    struct Ticket {
        static constexpr int BITS = 20;
        static constexpr uint64_t MASK = (1u << BITS) - 1;
        static uint64_t of(uint64_t epoch, uint64_t count) { return epoch << (2 * BITS) | count << BITS; }
        static uint64_t count(uint64_t ticket) { return ticket >> BITS & MASK; }
        static uint64_t next(uint64_t ticket) { return ticket & MASK; }
    };

    void work() {
        int finished = 0;
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        while (Ticket::next(ticket) < Ticket::count(ticket)) {
            const uint64_t left = Ticket::count(ticket) - Ticket::next(ticket);
            const int some = int(std::min<uint64_t>(left, uint64_t(grain_.load(std::memory_order_relaxed))));
            if (!ticket_.compare_exchange_weak(ticket, ticket + uint64_t(some), std::memory_order_acq_rel)) continue;
            const Run run = run_.load(std::memory_order_relaxed);
            const void *context = context_.load(std::memory_order_relaxed);
            for (int index = 0; index < some; ++index) run(context, int(Ticket::next(ticket)) + index);
            finished += some;
            ticket += uint64_t(some);
        }
        // Told once: the counter's cache line travels between the threads.
        if (finished) done_.fetch_add(finished, std::memory_order_release);
    }

    void serve(int number) {
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(asleep_);
                wake_.wait(lock, [&] { return helpers_.load(std::memory_order_acquire) > number; });
            }
            // Waking costs more than the moment between two steps of decoding: they linger.
            unsigned turn = 1;
            for (int idle = 0; idle < LINGER; ++turn) {
                const bool needed = helpers_.load(std::memory_order_acquire) > number;
                if (needed) work();
                idle = needed ? 0 : idle + 1;
                wait(turn);
            }
        }
    }

    static void wait(unsigned turn) {
        if (turn % 4096 == 0) return void(sched_yield());
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

    std::mutex owner_, asleep_;
    std::condition_variable wake_;
    std::vector<std::thread> threads_;
    std::atomic<int> helpers_{0};
    std::atomic<Run> run_{nullptr};
    std::atomic<const void *> context_{nullptr};
    std::atomic<int> grain_{1};
    alignas(64) std::atomic<int> done_{0};
    alignas(64) std::atomic<uint64_t> ticket_{0};
    uint64_t epoch_ = 0;
};
