// Activations, row by row: normalization, and quantization to 16 bits with one scale a row.

#pragma once

#include "kernels.h"
#include "simd.h"

namespace ISA {

// The largest magnitude whose upper byte, after rounding to the nearest multiple of 256, still fits in a signed byte.
constexpr float PEAK = 127 * 256 + 127;
// What is smaller is taken for zero: one over it might be infinite.
constexpr float SMALLEST = 1e-30f;

#if defined(__AVX512VNNI__)
// Two planes: the upper bytes of all columns, then the lower bytes, both signed: value = 256 * upper + lower.
INLINE void keep_integers(Ints value, uint8_t *row, int columns, int column) {
    Ints lower, upper;
    EACH_PART {
        lower.part[p] = (IntLanes)((WordLanes)value.part[p] << 24) >> 24;
        upper.part[p] = (value.part[p] - lower.part[p]) >> 8;
    }
    _mm_storeu_si128((__m128i *)(row + column), _mm512_cvtepi32_epi8((__m512i)upper.part[0]));
    _mm_storeu_si128((__m128i *)(row + columns + column), _mm512_cvtepi32_epi8((__m512i)lower.part[0]));
}
#else
// Words, four columns at a time in the order 0, 2, 1, 3: so the even and the odd bytes of a weight's word meet theirs.
INLINE void keep_integers(Ints value, uint8_t *row, int, int column) {
    int32_t lane[16];
    memcpy(lane, &value, sizeof lane);
    int16_t words[16];
    for (int i = 0; i < 16; i += 4) {
        words[i] = (int16_t)lane[i];
        words[i + 1] = (int16_t)lane[i + 2];
        words[i + 2] = (int16_t)lane[i + 1];
        words[i + 3] = (int16_t)lane[i + 3];
    }
    memcpy(row + 2 * column, words, sizeof words);
}
#endif

INLINE int32_t total(Ints a) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_epi32((__m512i)a.part[0]);
#else
    int32_t lane[16], result = 0;
    memcpy(lane, &a, sizeof lane);
    UNROLL for (int i = 0; i < 16; ++i) result += lane[i];
    return result;
#endif
}

static void normalize(const float *x, const float *weight, float eps, int columns, float *to) {
    Floats squares = splat(0);
    for (int c = 0; c < columns; c += 16) squares = fma(load(x + c), load(x + c), squares);
    Floats factor = splat(1.0f / __builtin_sqrtf(sum(squares) / (float)columns + eps));
    for (int c = 0; c < columns; c += 16) store(to + c, load(x + c) * factor * load(weight + c));
}

static void quantize(const float *x, const float *weight, float eps, int columns, Quantized *to, int row, int integers) {
    float *floats = to->floats + (int64_t)row * to->columns;
    if (weight)
        normalize(x, weight, eps, columns, floats);
    else if (!integers || columns < to->columns)
        memcpy(floats, x, columns * sizeof(float));
    if (!integers) return;
    for (int c = columns; c < to->columns; ++c) floats[c] = 0;
    const float *source = weight || columns < to->columns ? floats : x;

    Floats largest = splat(0);
    for (int c = 0; c < to->columns; c += 16) largest = larger_magnitude(load(source + c), largest);
    float peak = largest_magnitude(largest);
    Floats inverse = splat(peak > SMALLEST ? PEAK / peak : 0);
    to->scales[row] = peak / PEAK;
    uint8_t *values = to->values + (int64_t)row * 2 * to->columns;
    float *sums = to->sums_of_16 + (int64_t)row * (to->columns / 16);
    for (int c = 0; c < to->columns; c += 16) {
        Ints value = round_to_ints(load(source + c) * inverse);
        keep_integers(value, values, to->columns, c);
        sums[c / 16] = (float)total(value);
    }
    float *pairs = to->sums_of_32 + (int64_t)row * (to->columns / 32);
    for (int g = 0; g < to->columns / 32; ++g) pairs[g] = sums[2 * g] + sums[2 * g + 1];
}

}  // namespace ISA
