// isa: any
// Matrices as the kernels want them: packed when a model is loaded, and read back a row at a time for the embedding.

#include <cstring>

#include "library.h"

namespace {

constexpr int ROWS = 16;  // of a tile

Linear *new_linear(Arena *arena, int rows, int columns, const float *bias) {
    Linear *linear = reinterpret_cast<Linear *>(arena->take(sizeof(Linear)));
    linear->rows = rows;
    linear->columns = columns;
    linear->tiles = (rows + ROWS - 1) / ROWS;
    if (bias) {
        linear->bias = reinterpret_cast<float *>(arena->take(sizeof(float) * linear->tiles * ROWS));
        std::memcpy(linear->bias, bias, rows * sizeof(float));
    }
    return linear;
}

// The byte of a group of a tile where a column of a row lies.
int64_t place(int row, int column) { return column / 4 * 64 + row * 4 + column % 4; }

void pack_quants(Linear *linear, const uint8_t *quants) {
    int per_byte = linear->bits == 4 ? 2 : 1;
    int64_t group_bytes = ROWS * linear->group;
    for (int row = 0; row < linear->rows; ++row) {
        uint8_t *tile = linear->tile + row / ROWS * linear->tile_bytes + linear->scale_bytes;
        const uint8_t *line = quants + static_cast<int64_t>(row) * linear->columns;
        for (int column = 0; column < linear->columns; ++column) {
            int group = column / linear->group;
            uint8_t *to = tile + group / per_byte * group_bytes + place(row % ROWS, column % linear->group);
            *to |= linear->bits == 4 && group % 2 ? line[column] << 4 : line[column];
        }
    }
}

template <class Scale>
void pack_scales(Linear *linear, const Scale *scales, const Scale *minimums) {
    int kinds = minimums ? 2 : 1, given = linear->columns / linear->group;
    for (int row = 0; row < linear->rows; ++row) {
        Scale *tile = reinterpret_cast<Scale *>(linear->tile + row / ROWS * linear->tile_bytes);
        for (int group = 0; group < given; ++group) {
            int64_t from = static_cast<int64_t>(row) * given + group, to = group * kinds * ROWS + row % ROWS;
            tile[to] = scales[from];
            if (minimums) tile[to + ROWS] = minimums[from];
        }
    }
}

float half_to_float(uint16_t half) {
    uint32_t sign = (half & 0x8000u) << 16, exponent = half >> 10 & 31, fraction = half & 1023;
    float value;
    if (exponent == 0) {
        value = static_cast<float>(fraction) * 0x1p-24f;
        return sign ? -value : value;
    }
    uint32_t bits = sign | (exponent == 31 ? 255 : exponent + 112) << 23 | fraction << 13;
    std::memcpy(&value, &bits, sizeof value);
    return value;
}

float scale_at(const Linear *linear, const uint8_t *tile, int64_t index) {
    return linear->half_scales ? half_to_float(reinterpret_cast<const uint16_t *>(tile)[index])
                               : reinterpret_cast<const float *>(tile)[index];
}

}  // namespace

void read_row(const Linear *linear, int row, float *to) {
    const uint8_t *tile = linear->tile + row / ROWS * linear->tile_bytes, *quants = tile + linear->scale_bytes;
    int line = row % ROWS, kinds = linear->has_minimums ? 2 : 1;
    for (int column = 0; column < linear->columns; ++column) {
        if (linear->bits == 32) {
            to[column] = reinterpret_cast<const float *>(tile)[column * ROWS + line];
            continue;
        }
        int group = column / linear->group, per_byte = linear->bits == 4 ? 2 : 1;
        int quant = quants[group / per_byte * ROWS * linear->group + place(line, column % linear->group)];
        if (linear->bits == 4) quant = group % 2 ? quant >> 4 : quant & 15;
        float scale = scale_at(linear, tile, group * kinds * ROWS + line);
        float value = static_cast<float>(linear->has_minimums ? quant : quant - linear->offset);
        to[column] = scale * value + (linear->has_minimums ? scale_at(linear, tile, (group * kinds + 1) * ROWS + line) : 0);
    }
}

extern "C" {

EXPORT Arena *arena_new() { return new Arena; }

EXPORT void arena_free(Arena *arena) { delete arena; }

EXPORT Linear *linear_quantized(Arena *arena, int rows, int columns, int bits, int group, int offset, int half_scales,
                                const uint8_t *quants, const void *scales, const void *minimums, const float *bias) {
    Linear *linear = new_linear(arena, rows, columns, bias);
    linear->bits = bits;
    linear->group = group;
    linear->groups = bits == 4 ? (columns / group + 1) / 2 * 2 : columns / group;
    linear->offset = offset;
    linear->has_minimums = minimums != nullptr;
    linear->half_scales = half_scales;
    int64_t kinds = minimums ? 2 : 1, scale_bytes = ROWS * linear->groups * kinds * (half_scales ? 2 : 4);
    linear->scale_bytes = (scale_bytes + 63) / 64 * 64;
    linear->tile_bytes = linear->scale_bytes + static_cast<int64_t>(linear->groups) * ROWS * group * bits / 8;
    linear->tile = arena->take(linear->tiles * linear->tile_bytes);
    pack_quants(linear, quants);
    if (half_scales)
        pack_scales(linear, static_cast<const uint16_t *>(scales), static_cast<const uint16_t *>(minimums));
    else
        pack_scales(linear, static_cast<const float *>(scales), static_cast<const float *>(minimums));
    return linear;
}

EXPORT Linear *linear_floats(Arena *arena, int rows, int columns, const float *values, const float *bias) {
    Linear *linear = new_linear(arena, rows, columns, bias);
    linear->bits = 32;
    linear->tile_bytes = sizeof(float) * ROWS * columns;
    linear->tile = arena->take(linear->tiles * linear->tile_bytes);
    for (int row = 0; row < rows; ++row) {
        float *tile = reinterpret_cast<float *>(linear->tile + row / ROWS * linear->tile_bytes);
        const float *line = values + static_cast<int64_t>(row) * columns;
        for (int column = 0; column < columns; ++column) tile[column * ROWS + row % ROWS] = line[column];
    }
    return linear;
}

EXPORT void linear_row(const Linear *linear, int row, float *to) { read_row(linear, row, to); }

}  // extern "C"
