// Attention over paged keys and values for the query heads that share one key head.
//
// Keys are taken in chunks of `CHUNK` positions counted from the beginning of the sequence, with a running maximum and sum
// (online softmax, Milakov & Gimelshein 2018, arXiv:1805.02867). A query's result depends on nothing but itself and its
// keys: where the chunks begin does not depend on the step, and what lies past the query adds exact zeros.

#pragma once

#include "kernels.h"
#include "simd.h"

namespace ISA {

constexpr int CHUNK = 256;
constexpr int MOST_VECTORS = 64;  // query rows times heads of a task
constexpr float NOTHING = -__builtin_inff();

INLINE int64_t element_bytes(const Cache *cache) {
    return cache->type == FLOAT32 ? 4 : cache->type == BFLOAT16 ? 2 : 1;
}

struct Pair {
    Floats first, second;
};

// Sixteen elements from `column` on of the lines `line` and `line + 1` of a matrix of that width. `line` is even.
template <int TYPE>
INLINE Pair load_pair(const uint8_t *from, int line, int width, int column) {
    Pair result;
    if (TYPE == BFLOAT16) {
        Ints both = load_ints((const uint16_t *)from + line * width + 2 * column);
        EACH_PART {
            result.first.part[p] = (FloatLanes)((WordLanes)both.part[p] << 16);
            result.second.part[p] = (FloatLanes)((WordLanes)both.part[p] & 0xffff0000u);
        }
    } else if (TYPE == FLOAT32) {
        result.first = load((const float *)from + line * width + column);
        result.second = load((const float *)from + (line + 1) * width + column);
    } else {
        result.first = load_bytes((const int8_t *)from + line * width + column);
        result.second = load_bytes((const int8_t *)from + (line + 1) * width + column);
    }
    return result;
}

// Where the element at `line` and `column` of such a matrix lies.
INLINE int64_t place_of(int type, int line, int width, int column) {
    return type == BFLOAT16 ? (line & ~1) * width + 2 * column + (line & 1) : line * width + column;
}

// The parts of a block of a sequence, for one key head of one layer.
struct HeadBlock {
    uint8_t *keys, *values;
    float *key_scales, *value_scales;
};

INLINE HeadBlock head_block(const Cache *cache, const Span *span, int layer, int kv_head, int ordinal) {
    int64_t place = (int64_t)(layer * cache->kv_heads + kv_head) * cache->blocks + span->blocks[ordinal];
    int64_t plane = (int64_t)cache->head_dim * BLOCK * element_bytes(cache);
    uint8_t *block = cache->memory + place * cache->block_bytes;
    float *scales = (float *)(block + 2 * plane);
    return {block, block + plane, scales, scales + BLOCK};
}

INLINE HeadBlock head_block(const AttentionTask *task, int ordinal) {
    return head_block(task->cache, task->span, task->layer, task->kv_head, ordinal);
}

// Ask for what lies in the same place `count` blocks on: a sequence's blocks mostly lie one after the other. Worth it where
// few queries meet each key.
INLINE void ask_for_next(const AttentionTask *task, const uint8_t *from, int count) {
    __builtin_prefetch(from + count * task->cache->block_bytes);
}

// Scores of M queries against B blocks of keys. A score is one chain of products in the order of the dimensions; there are
// enough chains at once to hide how long each product takes.
template <int M, int B, int TYPE>
INLINE void score_blocks(const AttentionTask *task, const float *const *queries, int ordinal, float *scores) {
    HeadBlock block[B];
    UNROLL for (int b = 0; b < B; ++b) block[b] = head_block(task, ordinal + b);
    Floats sums[M][B];
    UNROLL for (int m = 0; m < M; ++m)
        UNROLL for (int b = 0; b < B; ++b) sums[m][b] = splat(0);
    for (int d = 0; d < task->cache->head_dim; d += 2) {
        Pair keys[B];
        UNROLL for (int b = 0; b < B; ++b) {
            keys[b] = load_pair<TYPE>(block[b].keys, d, BLOCK, 0);
            if (M <= 3) ask_for_next(task, block[b].keys + d * BLOCK * element_bytes(task->cache), B);
        }
        UNROLL for (int m = 0; m < M; ++m)
            UNROLL for (int b = 0; b < B; ++b) {
                sums[m][b] = fma(keys[b].first, splat(queries[m][d]), sums[m][b]);
                sums[m][b] = fma(keys[b].second, splat(queries[m][d + 1]), sums[m][b]);
            }
    }
    UNROLL for (int m = 0; m < M; ++m)
        UNROLL for (int b = 0; b < B; ++b) {
            if (TYPE == INT8) sums[m][b] = sums[m][b] * load(block[b].key_scales);
            store(scores + m * CHUNK + b * BLOCK, sums[m][b]);
        }
}

// Add the weighted values of `count` keys from block `ordinal` on, S * 16 dimensions of M vectors at a time.
template <int M, int S, int TYPE>
INLINE void mix_blocks(const AttentionTask *task, int ordinal, int count, const float *weights, float *sums) {
    int head_dim = task->cache->head_dim;
    for (int d = 0; d < head_dim; d += 16 * S) {
        Floats added[M][S];
        UNROLL for (int m = 0; m < M; ++m)
            UNROLL for (int s = 0; s < S; ++s) added[m][s] = load(sums + m * head_dim + d + 16 * s);
        for (int done = 0; done < count; done += BLOCK) {
            HeadBlock block = head_block(task, ordinal + done / BLOCK);
            int keys = count - done < BLOCK ? count - done : BLOCK;
            for (int k = 0; k < keys; k += 2) {
                Pair values[S];
                UNROLL for (int s = 0; s < S; ++s) {
                    values[s] = load_pair<TYPE>(block.values, k, head_dim, d + 16 * s);
                    if (M <= 3)
                        ask_for_next(task, block.values + (k * head_dim + 2 * (d + 16 * s)) * element_bytes(task->cache), 2);
                }
                UNROLL for (int m = 0; m < M; ++m)
                    UNROLL for (int s = 0; s < S; ++s)
                        added[m][s] = fma(splat(weights[m * CHUNK + done + k]), values[s].first, added[m][s]);
                if (k + 1 == keys) break;  // what lies in the second place belongs to nobody
                UNROLL for (int m = 0; m < M; ++m)
                    UNROLL for (int s = 0; s < S; ++s)
                        added[m][s] = fma(splat(weights[m * CHUNK + done + k + 1]), values[s].second, added[m][s]);
            }
        }
        UNROLL for (int m = 0; m < M; ++m)
            UNROLL for (int s = 0; s < S; ++s) store(sums + m * head_dim + d + 16 * s, added[m][s]);
    }
}

// The state of a query between chunks.
struct Running {
    float peak, total;
};

// Turn the scores of a chunk into weights, and make what was summed before fit the new maximum. `seen`: how many keys of
// the chunk the query sees.
static void weigh_scores(float *scores, int seen, int count, Running *running, float *sums, int head_dim) {
    int padded = (count + 15) / 16 * 16;
    for (int k = seen < 0 ? 0 : seen; k < padded; ++k) scores[k] = NOTHING;
    Floats largest = splat(running->peak);
    for (int k = 0; k < padded; k += 16) largest = maximum(load(scores + k), largest);
    float peak = highest(largest), lane[16];
    store(lane, exponential(splat(running->peak - peak)));
    Floats shift = splat(peak), added = splat(0);
    for (int k = 0; k < padded; k += 16) {
        Floats weight = exponential(load(scores + k) - shift);
        store(scores + k, weight);
        added = added + weight;
    }
    running->total = running->total * lane[0] + sum(added);
    if (running->peak != peak)
        for (int d = 0; d < head_dim; d += 16) store(sums + d, load(sums + d) * splat(lane[0]));
    running->peak = peak;
}

template <int M, int TYPE>
static void attend_chunk(const AttentionTask *task, const float *const *queries, const int *limits, int first, int count,
                         float *scores, Running *running, float *sums) {
    int head_dim = task->cache->head_dim;
    constexpr int B = M > 3 ? 2 : 4;
    int done = 0;
    for (; done + B * BLOCK <= count; done += B * BLOCK)
        score_blocks<M, B, TYPE>(task, queries, (first + done) / BLOCK, scores + done);
    for (; done < count; done += BLOCK) score_blocks<M, 1, TYPE>(task, queries, (first + done) / BLOCK, scores + done);
    for (int m = 0; m < M; ++m)
        weigh_scores(scores + m * CHUNK, limits[m] - first, count, running + m, sums + m * head_dim, head_dim);
    if (TYPE == INT8)
        for (int done = 0; done < count; done += BLOCK) {
            Floats scales = load(head_block(task, (first + done) / BLOCK).value_scales);
            for (int m = 0; m < M; ++m) store(scores + m * CHUNK + done, load(scores + m * CHUNK + done) * scales);
        }
    if (head_dim % 64 == 0)
        mix_blocks<M, 4, TYPE>(task, first / BLOCK, count, scores, sums);
    else
        mix_blocks<M, 1, TYPE>(task, first / BLOCK, count, scores, sums);
}

template <int TYPE>
static void attend_as(const AttentionTask *task) {
    int head_dim = task->cache->head_dim, vectors = task->rows * task->group;
    const float *queries[MOST_VECTORS];
    int limits[MOST_VECTORS];
    Running running[MOST_VECTORS];
    float *scores = task->scratch, *sums = scores + MOST_VECTORS * CHUNK;
    for (int v = 0; v < vectors; ++v) {
        int row = task->row + v / task->group;
        queries[v] = task->queries + (int64_t)row * task->stride + v % task->group * head_dim;
        limits[v] = task->span->start + row + 1;
        running[v].peak = NOTHING;
        running[v].total = 0;
    }
    memset(sums, 0, sizeof(float) * vectors * head_dim);
    int keys = task->span->start + task->row + task->rows;
    for (int first = 0; first < keys; first += CHUNK) {
        int count = keys - first < CHUNK ? keys - first : CHUNK, v = 0;
        for (; v + 6 <= vectors; v += 6)
            attend_chunk<6, TYPE>(task, queries + v, limits + v, first, count, scores, running + v, sums + v * head_dim);
        for (; v + 3 <= vectors; v += 3)
            attend_chunk<3, TYPE>(task, queries + v, limits + v, first, count, scores, running + v, sums + v * head_dim);
        for (; v < vectors; ++v)
            attend_chunk<1, TYPE>(task, queries + v, limits + v, first, count, scores, running + v, sums + v * head_dim);
    }
    for (int v = 0; v < vectors; ++v) {
        float *out = task->out + (int64_t)(task->row + v / task->group) * task->out_stride + v % task->group * head_dim;
        Floats total = splat(running[v].total);
        for (int d = 0; d < head_dim; d += 16) store(out + d, load(sums + v * head_dim + d) / total);
    }
}

static void attend(const AttentionTask *task) {
    if (task->cache->type == FLOAT32)
        attend_as<FLOAT32>(task);
    else if (task->cache->type == BFLOAT16)
        attend_as<BFLOAT16>(task);
    else
        attend_as<INT8>(task);
}

static int32_t attention_scratch(int head_dim) { return MOST_VECTORS * (CHUNK + head_dim); }

// Rotary position embedding over the halves of a head (Su et al. 2021, arXiv:2104.09864); scales the result.
static void rotate(float *head, int head_dim, int rotated, const float *cosines, const float *sines, float scale) {
    for (int i = 0; i < rotated / 2; ++i) {
        float first = head[i], second = head[i + rotated / 2];
        head[i] = (first * cosines[i] - second * sines[i]) * scale;
        head[i + rotated / 2] = (second * cosines[i] + first * sines[i]) * scale;
    }
    for (int i = rotated; i < head_dim; ++i) head[i] *= scale;
}

// Keep one head's key or value: its element i at `to[place(i)]`.
template <class Place>
static void keep(const Cache *cache, const float *head, uint8_t *to, float *scale, Place place) {
    int head_dim = cache->head_dim;
    if (cache->type == FLOAT32) {
        for (int i = 0; i < head_dim; ++i) ((float *)to)[place(i)] = head[i];
    } else if (cache->type == BFLOAT16) {
        for (int i = 0; i < head_dim; ++i) ((uint16_t *)to)[place(i)] = to_bfloat16(head[i]);
    } else {
        Floats largest = splat(0);
        for (int i = 0; i < head_dim; i += 16) largest = larger_magnitude(load(head + i), largest);
        float peak = largest_magnitude(largest);
        bool usual = peak > 1e-30f && peak <= 3e38f;  // else all is zero, or nothing is a number
        *scale = peak <= 3e38f ? peak / 127 : __builtin_nanf("");
        for (int i = 0; i < head_dim; ++i)
            ((int8_t *)to)[place(i)] = usual ? (int8_t)__builtin_rintf(head[i] * (127 / peak)) : 0;
    }
}

static void rotate_and_keep(const Cache *cache, const Span *span, int layer, int kv_head, int group, int row, int rows,
                            float *qkv, int64_t stride, int heads, int rotated, const float *cosines, const float *sines) {
    int head_dim = cache->head_dim;
    float scale = 1.0f / __builtin_sqrtf((float)head_dim);
    for (int r = row; r < row + rows; ++r) {
        float *line = qkv + r * stride;
        int position = span->start + r, place = position % BLOCK;
        const float *cos = cosines + (int64_t)position * (rotated / 2), *sin = sines + (int64_t)position * (rotated / 2);
        for (int h = kv_head * group; h < (kv_head + 1) * group; ++h)
            rotate(line + h * head_dim, head_dim, rotated, cos, sin, scale);
        float *key = line + (heads + kv_head) * head_dim, *value = line + (heads + cache->kv_heads + kv_head) * head_dim;
        rotate(key, head_dim, rotated, cos, sin, 1.0f);

        HeadBlock block = head_block(cache, span, layer, kv_head, position / BLOCK);
        int type = cache->type;
        keep(cache, key, block.keys, block.key_scales + place, [=](int i) { return place_of(type, i, BLOCK, place); });
        keep(cache, value, block.values, block.value_scales + place, [=](int i) { return place_of(type, place, head_dim, i); });
    }
}

}  // namespace ISA
