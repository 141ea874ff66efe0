// isa: any

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>

#include "library.h"

namespace {

constexpr int64_t LARGE_PAGE = 2 << 20, CHUNK = 16 * LARGE_PAGE, ALIGNMENT = 64;

int64_t rounded(int64_t bytes, int64_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

Arena::~Arena() {
    for (const Chunk &chunk : chunks_) munmap(chunk.memory, chunk.bytes);
}

uint8_t *Arena::take(int64_t bytes) {
    bytes = rounded(bytes, ALIGNMENT);
    if (chunks_.empty() || used_ + bytes > chunks_.back().bytes) {
        int64_t size = std::max(CHUNK, rounded(bytes, LARGE_PAGE));
        void *memory = mmap(nullptr, size + LARGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) std::abort();
#ifdef MADV_HUGEPAGE
        madvise(memory, size + LARGE_PAGE, MADV_HUGEPAGE);
#endif
        chunks_.push_back({static_cast<uint8_t *>(memory), size + LARGE_PAGE});
        used_ = rounded(reinterpret_cast<intptr_t>(memory), LARGE_PAGE) - reinterpret_cast<intptr_t>(memory);
    }
    uint8_t *result = chunks_.back().memory + used_;
    used_ += bytes;
    return result;
}
