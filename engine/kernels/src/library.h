// What the parts of the library share that are compiled once.

#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernels.h"

#define EXPORT __attribute__((visibility("default")))

// Zeroed memory, aligned for the widest registers; given back by free(). Running out of it ends the process: the loader
// has checked beforehand that there is enough.
template <class T>
T *allocate(int64_t count) {
    size_t bytes = (static_cast<size_t>(count) * sizeof(T) + 127) / 64 * 64;
    void *memory = std::aligned_alloc(64, bytes);
    if (!memory) std::abort();
    std::memset(memory, 0, bytes);
    return static_cast<T *>(memory);
}

// Row `row` of the matrix as floats.
void read_row(const Linear *linear, int row, float *to);

// The kernels in use: the best that this processor has, unless a test has picked others.
const Kernels *kernels();
