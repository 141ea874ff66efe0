// What the parts of the library share that are compiled once.

#pragma once

#include <cstdint>
#include <vector>

#include "kernels.h"

#define EXPORT __attribute__((visibility("default")))

// Memory for the matrices of one model: zeroed, in the order in which it is asked for, in large pages where the system
// has them, since a step reads all of it from beginning to end.
class Arena {
  public:
    Arena() = default;
    Arena(const Arena &) = delete;
    ~Arena();

    // Aligned for the widest registers. Running out ends the process: the loader has checked that there is enough.
    uint8_t *take(int64_t bytes);

  private:
    struct Chunk {
        uint8_t *memory;
        int64_t bytes;
    };
    std::vector<Chunk> chunks_;
    int64_t used_ = 0;  // of the last chunk
};

// Row `row` of the matrix as floats.
void read_row(const Linear *linear, int row, float *to);

// The kernels in use: the best that this processor has, unless a test has picked others.
const Kernels *kernels();
