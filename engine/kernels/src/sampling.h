// What sampling does with every logit of a row. A row is seen as lines of `columns` logits, the last one perhaps shorter;
// each column is reduced in the order of the lines.

#pragma once

#include "simd.h"

namespace ISA {

// The highest of each column, over `lines` whole lines. Returns 0 if one of the values is not a number: only those make a
// sum of values not below -1e30 not a number. (`maximum` has its second argument where one is not a number.)
inline int column_maxima(const float *row, int lines, int columns, float *highest) {
    Floats low = splat(-1e30f), sums = splat(0.0f);
    for (int column = 0; column < columns; column += 16) {
        int count = columns - column;
        Floats best = load_some(row + column, count);
        sums = sums + maximum(low, best);
        for (int line = 1; line < lines; ++line) {
            Floats values = load_some(row + line * columns + column, count);
            sums = sums + maximum(low, values);
            best = maximum(best, values);
        }
        store_some(highest + column, best, count);
    }
    float total = sum(sums);
    return total == total;
}

// weights = e^((row - peak) * scale), and the sum of each column over all lines.
inline void weigh(const float *row, int size, int columns, float peak, float scale, float *weights, float *sums) {
    memset(sums, 0, sizeof(float) * columns);
    for (int begin = 0; begin < size; begin += columns) {
        int width = size - begin < columns ? size - begin : columns;
        for (int column = 0; column < width; column += 16) {
            int count = width - column;
            Floats weight = exponential((load_some(row + begin + column, count) - splat(peak)) * splat(scale));
            store_some(weights + begin + column, weight, count);
            store_some(sums + column, load_some(sums + column, count) + weight, count);
        }
    }
}

}  // namespace ISA
