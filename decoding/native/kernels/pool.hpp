// Splits loops over a few threads that spin while a forward is under way and sleep between.
//
// Threads claim indices one by one, so one that is late, or that the system has put to sleep,
// holds up nobody: the others do its share. Which thread does what never changes a result.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <sched.h>
#include <thread>
#include <vector>

class Pool {
  public:
    // The process's threads. Never destroyed: at exit they may still be asleep in it.
    static Pool &shared() {
        static Pool *pool = new Pool;
        return *pool;
    }

    // Wakes `count` - 1 helpers until `close`. Where another forward has them, there are none.
    bool open(int count) {
        if (count < 2 || !owner_.try_lock()) return false;
        std::lock_guard<std::mutex> guard(asleep_);
        while (int(threads_.size()) < count - 1) {
            const int number = int(threads_.size());
            threads_.emplace_back([this, number] { serve(number); });
            threads_.back().detach();
        }
        helpers_.store(count - 1, std::memory_order_release);
        wake_.notify_all();
        return true;
    }

    void close() {
        helpers_.store(0, std::memory_order_release);
        owner_.unlock();
    }

    // Runs body(index) for each index in [0, count) and returns when all are done.
    template <class Body> void each(bool opened, int count, const Body &body) {
        if (!opened || count == 1) {
            for (int index = 0; index < count; ++index) body(index);
            return;
        }
        run_.store([](const void *context, int index) { (*static_cast<const Body *>(context))(index); },
                   std::memory_order_relaxed);
        context_.store(&body, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        ++epoch_;
        ticket_.store(Ticket::of(epoch_, count), std::memory_order_release);
        work();
        while (done_.load(std::memory_order_acquire) != count) relax();
    }

  private:
    using Run = void (*)(const void *, int);

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
        uint64_t ticket = ticket_.load(std::memory_order_acquire);
        while (Ticket::next(ticket) < Ticket::count(ticket)) {
            if (!ticket_.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
            run_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed),
                                                 int(Ticket::next(ticket)));
            done_.fetch_add(1, std::memory_order_release);
            ticket = ticket_.load(std::memory_order_acquire);
        }
    }

    void serve(int number) {
        for (;;) {
            {
                std::unique_lock<std::mutex> lock(asleep_);
                wake_.wait(lock, [&] { return helpers_.load(std::memory_order_acquire) > number; });
            }
            for (int idle = 1; helpers_.load(std::memory_order_acquire) > number; ++idle) {
                work();
                if (idle % 4096) relax(); else sched_yield();
            }
        }
    }

    static void relax() {
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
    std::atomic<int> done_{0};
    alignas(64) std::atomic<uint64_t> ticket_{0};
    uint64_t epoch_ = 0;
};
