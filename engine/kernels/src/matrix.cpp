// isa: any
// Matrices as the kernels want them: packed when a model is loaded, and read back a row at a time for the embedding.

#include <cstdlib>
#include <cstring>

#include "library.h"

namespace {

constexpr int ROWS = 16;  // of a tile

Linear *new_linear(int rows, int columns, const float *bias) {
    Linear *linear = static_cast<Linear *>(std::calloc(1, sizeof(Linear)));
    linear->rows = rows;
    linear->columns = columns;
    linear->tiles = (rows + ROWS - 1) / ROWS;
    if (bias) {
        linear->bias = allocate<float>(static_cast<int64_t>(linear->tiles) * ROWS);
        std::memcpy(linear->bias, bias, rows * sizeof(float));
    }
    return linear;
}

// The byte of a tile's group where a column of a row lies.
int64_t place(int row, int column) { return column / 4 * 64 + row * 4 + column % 4; }

void pack_quants(Linear *linear, const uint8_t *quants) {
    int per_byte = linear->bits == 4 ? 2 : 1;
    int64_t group_bytes = ROWS * linear->group, tile_bytes = linear->groups * group_bytes / per_byte;
    linear->quants = allocate<uint8_t>(linear->tiles * tile_bytes);
    for (int row = 0; row < linear->rows; ++row) {
        uint8_t *tile = linear->quants + row / ROWS * tile_bytes;
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
    Scale *packed = allocate<Scale>(static_cast<int64_t>(linear->tiles) * linear->groups * kinds * ROWS);
    for (int row = 0; row < linear->rows; ++row)
        for (int group = 0; group < given; ++group) {
            int64_t from = static_cast<int64_t>(row) * given + group;
            int64_t to = (static_cast<int64_t>(row / ROWS) * linear->groups + group) * kinds * ROWS + row % ROWS;
            packed[to] = scales[from];
            if (minimums) packed[to + ROWS] = minimums[from];
        }
    linear->scales = packed;
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

float scale_at(const Linear *linear, int64_t index) {
    return linear->half_scales ? half_to_float(static_cast<const uint16_t *>(linear->scales)[index])
                               : static_cast<const float *>(linear->scales)[index];
}

}  // namespace

void read_row(const Linear *linear, int row, float *to) {
    int tile = row / ROWS, line = row % ROWS, kinds = linear->has_minimums ? 2 : 1;
    for (int column = 0; column < linear->columns; ++column) {
        if (linear->bits == 32) {
            to[column] = linear->floats[(static_cast<int64_t>(tile) * linear->columns + column) * ROWS + line];
            continue;
        }
        int group = column / linear->group, per_byte = linear->bits == 4 ? 2 : 1;
        int64_t groups = static_cast<int64_t>(tile) * linear->groups + group;
        int64_t begin = (groups - group % per_byte) / per_byte * ROWS * linear->group;
        int quant = linear->quants[begin + place(line, column % linear->group)];
        if (linear->bits == 4) quant = group % 2 ? quant >> 4 : quant & 15;
        float scale = scale_at(linear, groups * kinds * ROWS + line);
        to[column] = linear->has_minimums ? scale * static_cast<float>(quant) + scale_at(linear, (groups * kinds + 1) * ROWS + line)
                                          : scale * static_cast<float>(quant - linear->offset);
    }
}

extern "C" {

EXPORT Linear *linear_quantized(int rows, int columns, int bits, int group, int offset, int half_scales, const uint8_t *quants,
                                const void *scales, const void *minimums, const float *bias) {
    Linear *linear = new_linear(rows, columns, bias);
    linear->bits = bits;
    linear->group = group;
    linear->groups = bits == 4 ? (columns / group + 1) / 2 * 2 : columns / group;
    linear->offset = offset;
    linear->has_minimums = minimums != nullptr;
    linear->half_scales = half_scales;
    pack_quants(linear, quants);
    if (half_scales)
        pack_scales(linear, static_cast<const uint16_t *>(scales), static_cast<const uint16_t *>(minimums));
    else
        pack_scales(linear, static_cast<const float *>(scales), static_cast<const float *>(minimums));
    return linear;
}

EXPORT Linear *linear_floats(int rows, int columns, const float *values, const float *bias) {
    Linear *linear = new_linear(rows, columns, bias);
    linear->bits = 32;
    linear->floats = allocate<float>(static_cast<int64_t>(linear->tiles) * ROWS * columns);
    for (int row = 0; row < rows; ++row)
        for (int column = 0; column < columns; ++column)
            linear->floats[(static_cast<int64_t>(row / ROWS) * columns + column) * ROWS + row % ROWS] =
                values[static_cast<int64_t>(row) * columns + column];
    return linear;
}

EXPORT void linear_free(Linear *linear) {
    if (!linear) return;
    std::free(linear->quants);
    std::free(linear->floats);
    std::free(linear->scales);
    std::free(linear->bias);
    std::free(linear);
}

EXPORT void linear_row(const Linear *linear, int row, float *to) { read_row(linear, row, to); }

}  // extern "C"
