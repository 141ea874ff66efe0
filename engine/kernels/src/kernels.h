// What the kernels compute on and how they are called: shared by the code that is compiled once and the code that is
// compiled for each instruction set.

#pragma once

#include <stdint.h>

// A matrix [rows, columns] in tiles of sixteen rows. Values are `scale * q + minimum` with q unsigned, or
// `scale * (q - offset)` without minimums, or plain floats. A tile lies in one piece, and the tiles one after the other:
//
// scales          [group][scales of the 16 rows, then their minimums], halves or floats; none for floats
// quants, 4 bits  [pair of groups][4 columns][row][column], the first group of a pair in the low halves of the bytes, the
//                 second in the high ones
// quants, 8 bits  [group][4 columns][row][column]
// floats          [column][row]
struct Linear {
    int32_t rows, columns, tiles;
    int32_t bits;          // 4, 8, or 32 for floats
    int32_t group;         // columns that share a scale
    int32_t groups;        // of a row; for 4 bits padded to an even number
    int32_t offset;        // used if there are no minimums
    int32_t has_minimums;  // 0 or 1
    int32_t half_scales;   // 0 or 1
    int64_t scale_bytes, tile_bytes;  // of the tile's scales, and of all of it
    uint8_t *tile;
    float *bias;  // [rows padded to 16], or null
};

// Activations of some rows as the linear kernels take them. A row is quantized to 16 bits with one scale.
struct Quantized {
    int32_t rows, columns;  // columns padded to a multiple of 64
    uint8_t *values;        // [rows][2 * columns], in an order of the instruction set's own
    float *sums_of_16;      // [rows][columns / 16], of the integers
    float *sums_of_32;      // [rows][columns / 32]
    float *scales;          // [rows]
    float *floats;          // [rows][columns], for matrices of floats
};

// What happens to a tile of results.
enum Finish { STORE = 0, ADD = 1, GATE = 2 };

// Keys and values of one block of `BLOCK` positions for one key head of one layer, in the cache's type:
// keys [head_dim][BLOCK], then values [BLOCK][head_dim]. In bfloat16 the elements of two dimensions of the
// keys, and of two positions of the values, lie side by side, so that one load holds both. For bytes, the scales of the
// keys and of the values follow, each [BLOCK].
enum { BLOCK = 16 };
enum CacheType { FLOAT32 = 0, BFLOAT16 = 1, INT8 = 2 };

struct Cache {
    int32_t layers, blocks, kv_heads, head_dim, type;
    int64_t block_bytes;  // of one block for one key head of one layer
    uint8_t *memory;      // [layers][kv_heads][blocks][block_bytes]: a head reads the blocks of a sequence in a row
};

// Consecutive tokens of one sequence in a step.
struct Span {
    int32_t start, count, first_row, block_count;
    const int32_t *blocks;
};

// Attention of `rows` consecutive rows of a span, for the query heads of one key head.
struct AttentionTask {
    const struct Cache *cache;
    const struct Span *span;
    int32_t layer, kv_head, group;  // `group`: query heads of this key head
    int32_t row, rows;              // within the span
    int32_t stride;                 // floats from one row of `queries` to the next
    const float *queries;           // row 0 of the span, the first head of the group; rotated and scaled
    float *out;                     // the same place in [rows][heads * head_dim]
    int32_t out_stride;
    float *scratch;                 // `attention_scratch` floats
};

struct Kernels {
    const char *name;
    int32_t half_scales;
    // Root mean square normalization of one row, then its quantization as row `row` of `to`. No `weight`: no normalization.
    void (*quantize)(const float *x, const float *weight, float eps, int columns, struct Quantized *to, int row, int integers);
    // Tiles `first` to `last` of x @ linear.T. GATE also computes the tiles of the second half of the rows, and stores
    // silu(first) * second.
    void (*multiply)(const struct Linear *linear, const struct Quantized *x, int first, int last, int finish, float *out,
                     int64_t stride);
    // Rotate the rows' queries (scaling them) and keys in place, and keep keys and values in the cache; for one key head.
    void (*rotate_and_keep)(const struct Cache *cache, const struct Span *span, int layer, int kv_head, int group, int row,
                            int rows, float *qkv, int64_t stride, int heads, int rotated, const float *cosines,
                            const float *sines);
    void (*attend)(const struct AttentionTask *task);
    int32_t (*attention_scratch)(int head_dim);
    // The two passes of sampling over a row of logits: see sampling.h.
    int (*column_maxima)(const float *row, int lines, int columns, float *highest);
    void (*weigh)(const float *row, int size, int columns, float peak, float scale, float *weights, float *sums);
};
