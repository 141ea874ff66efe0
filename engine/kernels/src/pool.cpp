// isa: any

#include "pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

constexpr uint64_t TAKEN = 0xffff;
constexpr int AT_ONCE = 60000;  // chunks of a ticket: as many as can be counted, less one a thread that comes too late

uint64_t taken(uint64_t ticket) { return ticket & TAKEN; }
uint64_t chunks_of(uint64_t ticket) { return ticket >> 16 & TAKEN; }

// Waiting in three stages. `tired` says when it is time to sleep.
class Patience {
  public:
    void wait() {
        if (++turns_ <= SPINS)
            pause();
        else
            std::this_thread::yield();
    }

    bool tired() {
        if (turns_ < SPINS || turns_ % 16) return false;
        auto now = std::chrono::steady_clock::now();
        if (turns_ < SPINS + 16) start_ = now;
        return now - start_ > std::chrono::milliseconds(2);
    }

  private:
    static constexpr int SPINS = 1024;

    static void pause() {
#if defined(__x86_64__)
        _mm_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#endif
    }

    int turns_ = 0;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace

Pool::Pool(int threads) {
    for (int thread = 1; thread < threads; ++thread) helpers_.emplace_back([this, thread] { help(thread); });
}

Pool::~Pool() {
    {
        std::lock_guard<std::mutex> lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_all();
    for (std::thread &helper : helpers_) helper.join();
}

void Pool::run_erased(int chunks, Call call, const void *task) {
    if (helpers_.empty() || chunks == 1) {
        for (int chunk = 0; chunk < chunks; ++chunk) call(task, chunk, 0);
        return;
    }
    for (int first = 0; first < chunks; first += AT_ONCE) post({call, task, first}, std::min(chunks - first, AT_ONCE));
}

void Pool::post(const Posted &posted, int chunks) {
    posted_ = posted;
    done_.store(0, std::memory_order_relaxed);
    ticket_.store(++number_ << 32 | static_cast<uint64_t>(chunks) << 16);
    if (sleepers_.load()) {
        { std::lock_guard<std::mutex> lock(mutex_); }
        wake_.notify_all();
    }
    while (take_chunk(0)) {}
    Patience patience;
    while (done_.load(std::memory_order_acquire) < chunks) patience.wait();
}

bool Pool::has_chunks() const {
    // In one order with `sleepers_`: either this sees a new task, or who posted it sees that there is somebody to wake.
    uint64_t ticket = ticket_.load(std::memory_order_seq_cst);
    return taken(ticket) < chunks_of(ticket);
}

bool Pool::take_chunk(int thread) {
    if (!has_chunks()) return false;
    uint64_t ticket = ticket_.fetch_add(1, std::memory_order_acq_rel);
    if (taken(ticket) >= chunks_of(ticket)) return false;
    // The chunk is not done, so neither is its task: what is posted stays as it is.
    posted_.call(posted_.task, posted_.first + static_cast<int>(taken(ticket)), thread);
    done_.fetch_add(1, std::memory_order_release);
    return true;
}

void Pool::help(int thread) {
    Patience patience;
    while (!stopping_.load(std::memory_order_relaxed)) {
        if (take_chunk(thread)) {
            patience = Patience();
        } else if (patience.tired()) {
            std::unique_lock<std::mutex> lock(mutex_);
            ++sleepers_;
            wake_.wait(lock, [this] { return stopping_ || has_chunks(); });
            --sleepers_;
            patience = Patience();
        } else {
            patience.wait();
        }
    }
}
