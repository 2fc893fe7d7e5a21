// Blocks of tiles: maps into places of products and back, a vector of tiles at a time.
#pragma once

#include "transforms.h"

namespace secondread {

/// Of maps `[images, channels, rows, columns]`.
struct Size {
    int64_t images, rows, columns;
    int64_t tile_rows() const { return divide_up(rows, OUT); }
    int64_t tile_columns() const { return divide_up(columns, OUT); }
};

/// Some tiles of one image: `count` numbers of each place and channel, of which the last may belong to none.
struct Block {
    int64_t image, row, rows, column, columns, count;
    int64_t tiles() const { return rows * columns; }
};

/// How an image is cut into blocks of about so many tiles.
struct Cut {
    Size size;
    int64_t rows, columns, blocks_down, blocks_across, count;

    Cut(const Size& size, int64_t tiles) : size(size) {
        columns = std::min(size.tile_columns(), tiles);
        blocks_across = divide_up(size.tile_columns(), columns);
        columns = divide_up(size.tile_columns(), blocks_across);
        rows = std::min(size.tile_rows(), std::max<int64_t>(1, tiles / columns));
        blocks_down = divide_up(size.tile_rows(), rows);
        rows = divide_up(size.tile_rows(), blocks_down);
        count = divide_up(rows * columns, SPAN) * SPAN;
    }
    int64_t blocks() const { return size.images * blocks_down * blocks_across; }
    Block block(int64_t number) const {
        const int64_t across = number % blocks_across, down = number / blocks_across % blocks_down;
        const int64_t row = down * rows, column = across * columns;
        return {
            number / blocks_across / blocks_down, row, std::min(rows, size.tile_rows() - row), column,
            std::min(columns, size.tile_columns() - column), count,
        };
    }
};

/// The lines of a block, columns apart by their place within a tile: `[lines][OUT][width]`.
class Lines {
  public:
    /// Numbers in memory.
    static int64_t length(const Cut& cut) { return (OUT * cut.rows + IN - OUT + 1) * OUT * width_of(cut); }
    Lines(const Cut& cut, float* memory)
        : width(width_of(cut)), apart(memory + OUT * width), line_(memory) {}

    /// Columns `first` to `first + count`, zeros where the plane has none. A missing plane's line is zeros.
    void set(int64_t line, const float* from, int64_t first, int64_t count, int64_t columns) {
        float* to = apart + line * OUT * width;
        if (from == nullptr) {
            std::memset(to, 0, OUT * width * sizeof(float));
            return;
        }
        const int64_t begin = std::max<int64_t>(0, -first), end = std::min(count, columns - first);
        std::memset(line_, 0, OUT * width * sizeof(float));
        if (end > begin) std::memcpy(line_ + begin, from + first + begin, (end - begin) * sizeof(float));
        for (int64_t four = 0; four + 4 <= width; four += 4) {
            turn_four(line_ + OUT * four, OUT, to + four, width);
        }
    }
    /// The reverse, to a plane's columns `first` to `first + count`.
    void get(int64_t line, float* to, int64_t first, int64_t count) {
        const float* from = apart + line * OUT * width;
        for (int64_t four = 0; four + 4 <= width; four += 4) {
            turn_four(from + four, width, line_ + OUT * four, OUT);
        }
        std::memcpy(to + first, line_, count * sizeof(float));
    }
    float* at(int64_t line, int64_t phase) { return apart + (line * OUT + phase) * width; }

    int64_t width;
    float* apart;

  private:
    static int64_t width_of(const Cut& cut) { return divide_up(cut.columns + 2, 4) * 4 + LANES; }
    float* line_;
};

/// B^T x B of one channel's tiles, place p at `to + p * places_apart`; numbers behind the tiles become zero.
inline void take_inputs(
    const float* plane, const Size& size, const Block& block, Lines& lines, float* to, int64_t places_apart
) {
    const int64_t first = OUT * block.column - 1, row = OUT * block.row - 1;
    for (int64_t line = 0; line < OUT * block.rows + IN - OUT; ++line) {
        const bool known = row + line >= 0 && row + line < size.rows;
        lines.set(
            line, known ? plane + (row + line) * size.columns : nullptr, first, OUT * block.columns + IN - OUT,
            size.columns
        );
    }
    for (int64_t down = 0; down < block.rows; ++down) {
        for (int64_t tile = 0; tile < block.columns; tile += LANES) {
            Vec half[PLACES], whole[IN];
            for (int64_t column = 0; column < IN; ++column) {
                Vec inputs[IN];
#pragma GCC unroll 6
                for (int64_t i = 0; i < IN; ++i) {
                    inputs[i] = load(lines.at(OUT * down + i, column % OUT) + tile + column / OUT);
                }
                to_products(inputs, 1, half + column, IN);
            }
            float* start = to + down * block.columns + tile;
            for (int64_t i = 0; i < IN; ++i) {
                to_products(half + i * IN, 1, whole, 1);
#pragma GCC unroll 6
                for (int64_t j = 0; j < IN; ++j) store(start + (i * IN + j) * places_apart, whole[j]);
            }
        }
    }
}

/// `take_inputs` of each of the block's image's channels in maps `[images][channels][rows][columns]`.
inline void take_all_inputs(
    const float* maps, int64_t channels, const Size& size, const Block& block, Lines& lines, float* to,
    int64_t places_apart
) {
    const int64_t plane = size.rows * size.columns;
    for (int64_t channel = 0; channel < channels; ++channel) {
        const float* from = maps + (block.image * channels + channel) * plane;
        take_inputs(from, size, block, lines, to + channel * block.count, places_apart);
    }
}

/// A y A^T of one channel's tiles, as `take_inputs`.
inline void take_gradients(
    const float* plane, const Size& size, const Block& block, Lines& lines, float* to, int64_t places_apart
) {
    const int64_t first = OUT * block.column, row = OUT * block.row;
    for (int64_t line = 0; line < OUT * block.rows; ++line) {
        const float* from = row + line < size.rows ? plane + (row + line) * size.columns : nullptr;
        lines.set(line, from, first, OUT * block.columns, size.columns);
    }
    for (int64_t down = 0; down < block.rows; ++down) {
        for (int64_t tile = 0; tile < block.columns; tile += LANES) {
            Vec half[IN * OUT], whole[IN];
            for (int64_t column = 0; column < OUT; ++column) {
                Vec outputs[OUT];
                for (int64_t i = 0; i < OUT; ++i) outputs[i] = load(lines.at(OUT * down + i, column) + tile);
                from_outputs(outputs, 1, half + column, OUT);
            }
            float* start = to + down * block.columns + tile;
            for (int64_t i = 0; i < IN; ++i) {
                from_outputs(half + i * OUT, 1, whole, 1);
#pragma GCC unroll 6
                for (int64_t j = 0; j < IN; ++j) store(start + (i * IN + j) * places_apart, whole[j]);
            }
        }
    }
}

/// A^T m A + bias of one channel's tiles into its plane.
inline void give_outputs(
    const float* from, int64_t places_apart, float bias, const Size& size, const Block& block, Lines& lines,
    float* plane
) {
    for (int64_t down = 0; down < block.rows; ++down) {
        for (int64_t tile = 0; tile < block.columns; tile += LANES) {
            Vec half[OUT * IN], whole[OUT];
            const float* start = from + down * block.columns + tile;
            for (int64_t j = 0; j < IN; ++j) {
                Vec products[IN];
#pragma GCC unroll 6
                for (int64_t i = 0; i < IN; ++i) products[i] = load(start + (i * IN + j) * places_apart);
                to_outputs(products, 1, half + j, IN);
            }
            for (int64_t i = 0; i < OUT; ++i) {
                to_outputs(half + i * IN, 1, whole, 1);
                for (int64_t j = 0; j < OUT; ++j) store(lines.at(i, j) + tile, whole[j] + bias);
            }
        }
        const int64_t first = OUT * block.column, row = OUT * (block.row + down);
        for (int64_t line = 0; line < std::min(OUT, size.rows - row); ++line) {
            const int64_t count = std::min(OUT * block.columns, size.columns - first);
            lines.get(line, plane + (row + line) * size.columns, first, count);
        }
    }
}

}  // namespace secondread
