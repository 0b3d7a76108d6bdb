// Splits loops over a few threads that spin while a forward is under way, and soon sleep behind it.
//
// A thread that is late, or that the system has put to sleep, holds up the others with what it has
// taken only: they do the rest of its share. Which thread does what never changes a result.
#pragma once

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <pthread.h>
#include <sched.h>
#include <new>
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
        count = std::min(count, MOST_THREADS);
        std::lock_guard<std::mutex> guard(asleep_);
        try {
            while (int(threads_.size()) < count - 1) {
                const int number = int(threads_.size());
                threads_.emplace_back([this, number] { serve(number); });
                threads_.back().detach();
            }
        } catch (const std::exception &) {
            // No thread or no memory to be had: those there are do the work.
        }
        helpers_.store(count - 1, std::memory_order_release);
        wake_.notify_all();
        return true;
    }

    void close() {
        helpers_.store(0, std::memory_order_release);
        owner_.unlock();
    }

    // Runs body(index) for each index in [0, count) and returns when all are done. Each thread has a
    // share of neighbouring indices and goes through it upwards; then it takes others' last ones.
    // Raises `std::bad_alloc` where a body of any thread did, when no thread runs one any more.
    template <class Body> void each(bool opened, int count, const Body &body) {
        if (!opened || count == 1 || count > int(Share::MASK)) {
            for (int index = 0; index < count; ++index) body(index);
            return;
        }
        run_.store([](const void *context, int index) { (*static_cast<const Body *>(context))(index); },
                   std::memory_order_relaxed);
        context_.store(&body, std::memory_order_relaxed);
        done_.store(0, std::memory_order_relaxed);
        ++epoch_;
        const int threads = std::min(helpers_.load(std::memory_order_relaxed) + 1, count);
        for (int64_t number = threads - 1; number >= 0; --number)  // one's own at last
            shares_[number].left.store(Share::of(epoch_, count * number / threads, count * (number + 1) / threads),
                                       std::memory_order_release);
        work(0, threads);
        for (unsigned turn = 1; done_.load(std::memory_order_acquire) != count; ++turn) wait(turn);
        if (failed_.exchange(false, std::memory_order_relaxed)) throw std::bad_alloc();
    }

    static constexpr int MOST_THREADS = 64;

  private:
    using Run = void (*)(const void *, int);
    static constexpr int LINGER = 1 << 14;  // pauses, some 0.3 ms: spinning longer delays an event loop

    // Of which loop, the next index to take and the one behind the last, changed as one: whoever is
    // late for a loop cannot take an index of the following one for its own.
    struct alignas(128) Share {
        static constexpr int BITS = 20;
        static constexpr uint64_t MASK = (1u << BITS) - 1;
        static uint64_t of(uint64_t epoch, uint64_t next, uint64_t end) { return epoch << (2 * BITS) | end << BITS | next; }
        static int end(uint64_t left) { return int(left >> BITS & MASK); }
        static int next(uint64_t left) { return int(left & MASK); }

        // Takes some next indices or the last one; the first of them, -1 where none is left.
        int take(bool last, int &some) {
            uint64_t now = left.load(std::memory_order_acquire);
            while (next(now) < end(now)) {
                some = last ? 1 : (end(now) - next(now) + 1) / 2;
                const uint64_t then = last ? now - (MASK + 1) : now + some;
                if (left.compare_exchange_weak(now, then, std::memory_order_acq_rel))
                    return last ? end(then) : next(now);
            }
            return -1;
        }

        std::atomic<uint64_t> left{0};
    };

    void run(int index, int end) noexcept {
        try {
            for (; index < end; ++index)
                run_.load(std::memory_order_relaxed)(context_.load(std::memory_order_relaxed), index);
        } catch (...) {  // only memory can be missing; what is left of the loop is of no use
            failed_.store(true, std::memory_order_relaxed);
        }
    }

    // Thread `number` does what is left of a loop.
    void work(int number, int threads) {
        int finished = 0;
        for (int other = 0; other < threads; ++other) {
            Share &share = shares_[(number + other) % threads];
            int some = 0;
            for (int index; (index = share.take(other > 0, some)) >= 0; finished += some) run(index, index + some);
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
                const int helpers = helpers_.load(std::memory_order_acquire);
                const bool needed = helpers > number;
                if (needed) work(number + 1, helpers + 1);
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
    std::atomic<bool> failed_{false};
    uint64_t epoch_ = 0;
    alignas(64) std::atomic<int> done_{0};
    Share shares_[MOST_THREADS];
};
