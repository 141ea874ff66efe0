// Threads that share out the chunks of one task after another.
//
// A task is done when its chunks are, not when every thread has come by: a thread that the system has taken off its core
// holds up only the chunk that it is at, and the thread that calls `run` can do all of them alone. Between tasks, threads
// spin for a moment, then give their core to whoever wants it, then sleep.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

class Pool {
  public:
    explicit Pool(int threads);
    ~Pool();

    int threads() const { return 1 + static_cast<int>(helpers_.size()); }

    // Call `task(chunk, thread)` for every chunk. Returns when all are done.
    template <class Task>
    void run(int chunks, const Task &task) {
        run_erased(chunks, [](const void *it, int chunk, int thread) { (*static_cast<const Task *>(it))(chunk, thread); }, &task);
    }

  private:
    using Call = void (*)(const void *task, int chunk, int thread);
    struct Posted {
        Call call;
        const void *task;
        int first;  // chunk
    };

    void run_erased(int chunks, Call call, const void *task);
    void post(const Posted &posted, int chunks);
    bool take_chunk(int thread);
    bool has_chunks() const;
    void help(int thread);

    // The ticket: which task this is (32 bits), how many chunks it has (16) and how many have been taken (16). In one
    // word, so that whoever takes a chunk knows for certain of which task.
    std::atomic<uint64_t> ticket_{0};
    std::atomic<int> done_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> stopping_{false};
    uint64_t number_ = 0;
    Posted posted_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::vector<std::thread> helpers_;
};
