// Products of quantized activations with quantized matrices. A result depends on its own row alone: the integer sums are
// exact, and the scaled sums of the groups are added in the order of the columns, whatever the number of rows.

#pragma once

#include "kernels.h"
#include "quantize.h"
#include "simd.h"

namespace ISA {

// What one tile is made of. The groups' scales come first, so that a tile is read from its beginning to its end.
struct Tile {
    const uint8_t *scales, *quants;

    INLINE Tile(const Linear *linear, int index)
        : scales(linear->tile + index * linear->tile_bytes), quants(scales + linear->scale_bytes) {}

    INLINE Floats sixteen_scales(const Linear *linear, int index) const {
#if HAS_HALF
        if (linear->half_scales) return load_half((const uint16_t *)scales + 16 * index);
#endif
        return load((const float *)scales + 16 * index);
    }
};

// The first rows that meet a matrix wait for the memory: ask for it some pages before it is needed, into the second cache,
// which can wait for more lines at once than the first, and from there in good time.
constexpr int FAR_AHEAD = 16384, AHEAD = 1024;

INLINE void ask_ahead(const uint8_t *from, int bytes) {
    UNROLL for (int line = 0; line < bytes; line += 64) {
        __builtin_prefetch(from + FAR_AHEAD + line, 0, 2);
        __builtin_prefetch(from + AHEAD + line);
    }
}

#if defined(__AVX512VNNI__)

constexpr int MOST_ROWS = 8;
constexpr int HIGH_FACTOR = 16;  // the upper halves of bytes are multiplied where they stand

INLINE Ints dot(Ints sums, Ints weights, const uint8_t *x) {
    int32_t four;
    memcpy(&four, x, 4);
    Ints result;
    result.part[0] = (IntLanes)_mm512_dpbusd_epi32((__m512i)sums.part[0], (__m512i)weights.part[0], _mm512_set1_epi32(four));
    return result;
}

// One plane of 64 columns of R rows times a pair of groups.
template <int R, bool UNPACKED>
INLINE void add_plane(const uint8_t *quants, const uint8_t *x, int64_t stride, Ints *low, Ints *high) {
    UNROLL for (int j = 0; j < 8; ++j) {
        Ints first = load_ints(quants + 64 * j), second = first;
        if (UNPACKED) {
            second = load_ints(quants + 512 + 64 * j);
        } else {
            first = first & splat_int(0x0f0f0f0f);
            second = second & splat_int((int32_t)0xf0f0f0f0);
        }
        UNROLL for (int r = 0; r < R; ++r) {
            low[r] = dot(low[r], first, x + r * stride + 4 * j);
            high[r] = dot(high[r], second, x + r * stride + 32 + 4 * j);
        }
    }
}

// low[r], high[r]: the products of row r with the two groups of the pair that begins at `column`.
template <int R, bool UNPACKED>
INLINE void multiply_pair(const uint8_t *quants, const uint8_t *x, int64_t stride, int columns, int column, Ints *low, Ints *high) {
    UNROLL for (int r = 0; r < R; ++r) low[r] = high[r] = splat_int(0);
    add_plane<R, UNPACKED>(quants, x + column, stride, low, high);
    UNROLL for (int r = 0; r < R; ++r) {
        low[r] = shift_left(low[r], 8);
        high[r] = shift_left(high[r], 8);
    }
    add_plane<R, UNPACKED>(quants, x + columns + column, stride, low, high);
}

// Where many rows meet a tile, its 4-bit quants are made bytes of once. Wider tiles would not stay in the first cache.
constexpr int MANY_ROWS = 32, UNPACKED_BYTES = 32 << 10;

INLINE void unpack(const Linear *linear, const uint8_t *quants, uint8_t *to) {
    for (int64_t pair = 0; pair < linear->groups / 2; ++pair, quants += 512, to += 1024)
        UNROLL for (int j = 0; j < 8; ++j) {
            Ints both = load_ints(quants + 64 * j);
            store_ints(to + 64 * j, both & splat_int(0x0f0f0f0f));
            store_ints(to + 512 + 64 * j, shift_right(both, 4) & splat_int(0x0f0f0f0f));
        }
}

template <int R, int GROUP>
INLINE void multiply_group(const uint8_t *quants, const uint8_t *x, int64_t stride, int columns, int column, Ints *sums) {
    Ints upper[R], lower[R];
    UNROLL for (int r = 0; r < R; ++r) upper[r] = lower[r] = splat_int(0);
    UNROLL for (int j = 0; j < GROUP / 4; ++j) {
        Ints weights = load_ints(quants + 64 * j);
        UNROLL for (int r = 0; r < R; ++r) {
            upper[r] = dot(upper[r], weights, x + r * stride + column + 4 * j);
            lower[r] = dot(lower[r], weights, x + r * stride + columns + column + 4 * j);
        }
    }
    UNROLL for (int r = 0; r < R; ++r) sums[r] = shift_left(upper[r], 8) + lower[r];
}

#else

constexpr int MOST_ROWS = 2;
constexpr int MANY_ROWS = 1 << 30, UNPACKED_BYTES = 0;  // unpacking costs little beside the products here

INLINE void unpack(const Linear *, const uint8_t *, uint8_t *) {}

constexpr int HIGH_FACTOR = 1;

// Sixteen sums of two products of 16-bit words each.
INLINE Ints add_products(Ints sums, Ints weights, const uint8_t *x) {
    int32_t two;
    memcpy(&two, x, 4);
    EACH_PART {
#if defined(__AVX2__)
        sums.part[p] += (IntLanes)_mm256_madd_epi16((__m256i)weights.part[p], _mm256_set1_epi32(two));
#elif defined(__SSE2__)
        sums.part[p] += (IntLanes)_mm_madd_epi16((__m128i)weights.part[p], _mm_set1_epi32(two));
#else
        sums.part[p] += (weights.part[p] & 0xffff) * (int32_t)(int16_t)two + (weights.part[p] >> 16) * (two >> 16);
#endif
    }
    return sums;
}

// Every second byte of the words, from bit `shift` on, times 4 columns of R rows.
template <int R>
INLINE void add_columns(Ints weights, int shift, int32_t mask, const uint8_t *x, int64_t stride, Ints *sums) {
    Ints even = shift_right(weights, shift) & splat_int(mask), odd = shift_right(weights, shift + 8) & splat_int(mask);
    UNROLL for (int r = 0; r < R; ++r) {
        sums[r] = add_products(sums[r], even, x + r * stride);
        sums[r] = add_products(sums[r], odd, x + r * stride + 4);
    }
}

template <int R, bool>
INLINE void multiply_pair(const uint8_t *quants, const uint8_t *x, int64_t stride, int, int column, Ints *low, Ints *high) {
    UNROLL for (int r = 0; r < R; ++r) low[r] = high[r] = splat_int(0);
    for (int j = 0; j < 8; ++j)
        add_columns<R>(load_ints(quants + 64 * j), 0, 0x000f000f, x + 2 * (column + 4 * j), stride, low);
    for (int j = 0; j < 8; ++j)
        add_columns<R>(load_ints(quants + 64 * j), 4, 0x000f000f, x + 2 * (column + 32 + 4 * j), stride, high);
}

template <int R, int GROUP>
INLINE void multiply_group(const uint8_t *quants, const uint8_t *x, int64_t stride, int, int column, Ints *sums) {
    UNROLL for (int r = 0; r < R; ++r) sums[r] = splat_int(0);
    for (int j = 0; j < GROUP / 4; ++j)
        add_columns<R>(load_ints(quants + 64 * j), 0, 0x00ff00ff, x + 2 * (column + 4 * j), stride, sums);
}

#endif

// The sums of the rows' integers by groups of that width.
template <int GROUP>
INLINE const float *group_sums(const Quantized *x, int row) {
    const float *sums = GROUP == 16 ? x->sums_of_16 : x->sums_of_32;
    return sums + (int64_t)row * (x->columns / GROUP);
}

// Add one group's part to the results of R rows: its integers, which are too large by `factor`, and its minimums.
template <int R, bool MINIMUMS>
INLINE void add_group(const Linear *linear, const Tile &tile, int group, int factor, const Ints *integers, const float *sums,
                      int64_t stride, Floats *results) {
    Floats scales = tile.sixteen_scales(linear, group * (1 + MINIMUMS));
    Floats minimums = MINIMUMS ? tile.sixteen_scales(linear, group * 2 + 1) : scales * splat((float)-linear->offset);
    if (factor != 1) scales = scales * splat(1.0f / (float)factor);
    UNROLL for (int r = 0; r < R; ++r) {
        results[r] = fma(to_floats(integers[r]), scales, results[r]);
        results[r] = fma(splat(sums[r * stride]), minimums, results[r]);
    }
}

template <int R, bool MINIMUMS, bool UNPACKED>
static void multiply_4(const Linear *linear, const Quantized *x, int row, int index, const uint8_t *unpacked, Floats *results) {
    const Tile tile(linear, index);
    const uint8_t *values = x->values + (int64_t)row * 2 * x->columns;
    const float *sums = group_sums<32>(x, row);
    int64_t stride = x->columns / 32;
    Floats scaled[R];
    UNROLL for (int r = 0; r < R; ++r) scaled[r] = splat(0);
    for (int g = 0; g < linear->groups; g += 2) {
        Ints low[R], high[R];
        if (row == 0) {
            ask_ahead(tile.quants + g * 256, 512);
            ask_ahead(tile.scales + g * 64, 128);
        }
        const uint8_t *quants = UNPACKED ? unpacked + g * 512 : tile.quants + g * 256;
        multiply_pair<R, UNPACKED>(quants, values, 2 * (int64_t)x->columns, x->columns, 32 * g, low, high);
        add_group<R, MINIMUMS>(linear, tile, g, 1, low, sums + g, stride, scaled);
        add_group<R, MINIMUMS>(linear, tile, g + 1, UNPACKED ? 1 : HIGH_FACTOR, high, sums + g + 1, stride, scaled);
    }
    UNROLL for (int r = 0; r < R; ++r) results[r] = scaled[r] * splat(x->scales[row + r]);
}

template <int R, bool MINIMUMS, int GROUP>
static void multiply_8(const Linear *linear, const Quantized *x, int row, int index, Floats *results) {
    const Tile tile(linear, index);
    const uint8_t *values = x->values + (int64_t)row * 2 * x->columns;
    const float *sums = group_sums<GROUP>(x, row);
    Floats scaled[R];
    UNROLL for (int r = 0; r < R; ++r) scaled[r] = splat(0);
    for (int g = 0; g < linear->groups; ++g) {
        const uint8_t *quants = tile.quants + g * 16 * GROUP;
        Ints integers[R];
        if (row == 0) {
            ask_ahead(quants, 16 * GROUP);
            ask_ahead(tile.scales + g * 32, 1);
        }
        multiply_group<R, GROUP>(quants, values, 2 * (int64_t)x->columns, x->columns, GROUP * g, integers);
        add_group<R, MINIMUMS>(linear, tile, g, 1, integers, sums + g, x->columns / GROUP, scaled);
    }
    UNROLL for (int r = 0; r < R; ++r) results[r] = scaled[r] * splat(x->scales[row + r]);
}

template <int R>
static void multiply_floats(const Linear *linear, const Quantized *x, int row, int index, Floats *results) {
    const float *weights = (const float *)(linear->tile + index * linear->tile_bytes);
    const float *values = x->floats + (int64_t)row * x->columns;
    Floats added[R];
    UNROLL for (int r = 0; r < R; ++r) added[r] = splat(0);
    for (int c = 0; c < linear->columns; ++c) {
        Floats column = load(weights + 16 * (int64_t)c);
        UNROLL for (int r = 0; r < R; ++r) added[r] = fma(column, splat(values[r * (int64_t)x->columns + c]), added[r]);
    }
    UNROLL for (int r = 0; r < R; ++r) results[r] = added[r];
}

template <int R>
INLINE void multiply_tile(const Linear *linear, const Quantized *x, int row, int tile, const uint8_t *unpacked, Floats *results) {
    if (linear->bits == 32)
        multiply_floats<R>(linear, x, row, tile, results);
    else if (linear->bits == 4 && unpacked && R == MOST_ROWS)
        linear->has_minimums ? multiply_4<MOST_ROWS, true, true>(linear, x, row, tile, unpacked, results)
                             : multiply_4<MOST_ROWS, false, true>(linear, x, row, tile, unpacked, results);
    else if (linear->bits == 4)
        linear->has_minimums ? multiply_4<R, true, false>(linear, x, row, tile, nullptr, results)
                             : multiply_4<R, false, false>(linear, x, row, tile, nullptr, results);
    else if (linear->group == 32)
        linear->has_minimums ? multiply_8<R, true, 32>(linear, x, row, tile, results)
                             : multiply_8<R, false, 32>(linear, x, row, tile, results);
    else
        linear->has_minimums ? multiply_8<R, true, 16>(linear, x, row, tile, results)
                             : multiply_8<R, false, 16>(linear, x, row, tile, results);
    if (linear->bias) {
        Floats bias = load(linear->bias + 16 * tile);
        UNROLL for (int r = 0; r < R; ++r) results[r] = results[r] + bias;
    }
}

// x * sigmoid(x) * y: the gated activation of Shazeer 2020, arXiv:2002.05202. Below -88 the sigmoid is as good as 0.
INLINE Floats silu_times(Floats x, Floats y) {
    return x / (splat(1.0f) + exponential(splat(0) - maximum(splat(-88.0f), x))) * y;
}

// The bytes of a tile, and for GATE of its partner, if they are unpacked.
struct Unpacked {
    const uint8_t *tile, *partner;
};

template <int R>
static void finish_tile(const Linear *linear, const Quantized *x, int row, int tile, Unpacked unpacked, int finish, float *out,
                        int64_t stride) {
    Floats results[R];
    multiply_tile<R>(linear, x, row, tile, unpacked.tile, results);
    if (finish == GATE) {
        Floats up[R];
        multiply_tile<R>(linear, x, row, tile + linear->tiles / 2, unpacked.partner, up);
        UNROLL for (int r = 0; r < R; ++r) results[r] = silu_times(results[r], up[r]);
    }
    UNROLL for (int r = 0; r < R; ++r) {
        float *to = out + (row + r) * stride + 16 * (int64_t)tile;
        if (finish == ADD) results[r] = results[r] + load(to);
        store_some(to, results[r], linear->rows - 16 * tile);
    }
}

static void multiply(const Linear *linear, const Quantized *x, int first, int last, int finish, float *out, int64_t stride) {
    alignas(64) uint8_t bytes[2 * UNPACKED_BYTES + 64];
    bool unpacks = linear->bits == 4 && x->rows >= MANY_ROWS && linear->groups * 512 <= UNPACKED_BYTES;
    for (int tile = first; tile < last; ++tile) {
        Unpacked unpacked = {nullptr, nullptr};
        if (unpacks) {
            unpack(linear, Tile(linear, tile).quants, bytes);
            if (finish == GATE) unpack(linear, Tile(linear, tile + linear->tiles / 2).quants, bytes + UNPACKED_BYTES);
            unpacked = {bytes, bytes + UNPACKED_BYTES};
        }
        int row = 0;
        if (MOST_ROWS >= 8)
            for (; row + 8 <= x->rows; row += 8) finish_tile<8>(linear, x, row, tile, unpacked, finish, out, stride);
        if (MOST_ROWS >= 4)
            for (; row + 4 <= x->rows; row += 4) finish_tile<4>(linear, x, row, tile, unpacked, finish, out, stride);
        for (; row + 2 <= x->rows; row += 2) finish_tile<2>(linear, x, row, tile, unpacked, finish, out, stride);
        for (; row < x->rows; ++row) finish_tile<1>(linear, x, row, tile, unpacked, finish, out, stride);
    }
}

}  // namespace ISA
