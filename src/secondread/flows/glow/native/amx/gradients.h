// Gradients of the weights: sums over positions, in tiles until the last position is in.
#pragma once

#include "network.h"

namespace secondread {

/// Where a backward call puts what it finds, float32 and row-major. x may be null, border as the call's.
struct Gradients {
    float *x, *first, *middle, *middle_bias, *last, *last_bias, *border;
};

/// left `[rows, positions]` times the transpose of right `[columns, positions]`, summed in sum tiles. The
/// smaller operand is the one that is turned to pair tiles; where that is left, the result lies transposed.
class Product {
  public:
    Product(int64_t rows, int64_t columns, Arena& arena)
        : rows_(rows), columns_(columns), turn_left_(divide_up(rows, 16) < divide_up(columns, 16)),
          high_(divide_up(turn_left_ ? columns : rows, 16)),
          wide_(divide_up(turn_left_ ? rows : columns, 16)),
          tiles_(arena.take_zeros<float>(high_ * wide_ * 256)) {}

    /// Adds `depth` groups of positions; both are row tiles `[tiles][depth]`, `apart` bytes from tile to tile.
    void add(const uint8_t* left, const uint8_t* right, int64_t depth, int64_t apart, uint8_t* turned) const {
        const uint8_t *rows = turn_left_ ? right : left, *pairs = turn_left_ ? left : right;
        for (int64_t tile = 0; tile < wide_; ++tile) {
            for (int64_t group = 0; group < depth; ++group) {
                transpose(pairs + tile * apart + group * TILE, turned + tile * apart + group * TILE);
            }
        }
        settle();
        for (int64_t row = 0; row < high_; row += 2) {
            const bool two = row + 1 < high_;
            for (int64_t column = 0; column < wide_; column += 2) {
                const bool both = column + 1 < wide_;
                const uint8_t *given = rows + row * apart, *with = turned + column * apart;
                float* to = tiles_ + (row * wide_ + column) * 256;
                if (two && both) {
                    block<2, 2>(given, with, depth, apart, to);
                } else if (two) {
                    block<2, 1>(given, with, depth, apart, to);
                } else if (both) {
                    block<1, 2>(given, with, depth, apart, to);
                } else {
                    block<1, 1>(given, with, depth, apart, to);
                }
            }
        }
        settle();
    }

    void take_in(const Product& other) const {
        for (int64_t at = 0; at < high_ * wide_ * 256; ++at) tiles_[at] += other.tiles_[at];
    }

    /// Row-major `[rows, columns]`.
    void write(float* to) const {
        alignas(64) uint8_t turned[TILE];
        for (int64_t row = 0; row < high_; ++row) {
            for (int64_t column = 0; column < wide_; ++column) {
                const float* tile = tiles_ + (row * wide_ + column) * 256;
                if (turn_left_) {
                    transpose((const uint8_t*)tile, turned);
                    place(to, column, row, (const float*)turned);
                } else {
                    place(to, row, column, tile);
                }
            }
        }
    }

  private:
    template <int Rows, int Columns>
    void block(const uint8_t* rows, const uint8_t* pairs, int64_t depth, int64_t apart, float* to) const {
        float* below = to + wide_ * 256;
        _tile_loadd(0, to, 64);
        if (Columns == 2) _tile_loadd(1, to + 256, 64);
        if (Rows == 2) _tile_loadd(2, below, 64);
        if (Rows == 2 && Columns == 2) _tile_loadd(3, below + 256, 64);
        multiply<Rows, Columns>(rows, apart, pairs, pairs + apart, depth);
        _tile_stored(0, to, 64);
        if (Columns == 2) _tile_stored(1, to + 256, 64);
        if (Rows == 2) _tile_stored(2, below, 64);
        if (Rows == 2 && Columns == 2) _tile_stored(3, below + 256, 64);
    }

    void place(float* to, int64_t row, int64_t column, const float* tile) const {
        const __mmask16 present = first_bits(columns_ - column * 16);
        for (int64_t at = 0; at < std::min<int64_t>(16, rows_ - row * 16); ++at) {
            float* start = to + (row * 16 + at) * columns_ + column * 16;
            _mm512_mask_storeu_ps(start, present, _mm512_load_ps(tile + at * 16));
        }
    }

    int64_t rows_, columns_;
    bool turn_left_;
    int64_t high_, wide_;
    float* tiles_;
};

/// What one part of the positions adds to the gradients.
struct Sums {
    Product first, middle, last;
    float *middle_bias, *edge;  // edge: per channel the sum over positions, then per tap over those at the edge
    int64_t width, edges;

    Sums(const Call& call, const Sizes& sizes, const Grid& grid, Arena& arena)
        : first(call.width, sizes.gathered, arena), middle(call.width, call.width, arena),
          last(sizes.columns, call.width, arena), middle_bias(arena.take_zeros<float>(call.width * 16)),
          edge(arena.take_zeros<float>(call.channels_out * (grid.taps + 1) * 16)), width(call.width),
          edges(call.channels_out * (grid.taps + 1)) {}

    void take_in(const Sums& other) const {
        first.take_in(other.first);
        middle.take_in(other.middle);
        last.take_in(other.last);
        for (int64_t at = 0; at < width * 16; ++at) middle_bias[at] += other.middle_bias[at];
        for (int64_t at = 0; at < edges * 16; ++at) edge[at] += other.edge[at];
    }

    void write(const Call& call, const Sizes&, const Grid& grid, const Gradients& to) const {
        first.write(to.first);
        middle.write(to.middle);
        last.write(to.last);
        const auto total = [](const float* lanes) { return _mm512_reduce_add_ps(_mm512_load_ps(lanes)); };
        for (int64_t row = 0; row < width; ++row) to.middle_bias[row] = total(middle_bias + row * 16);
        for (int64_t channel = 0; channel < call.channels_out; ++channel) {
            const float* its = edge + channel * (grid.taps + 1) * 16;
            to.last_bias[channel] = total(its);
            for (int64_t tap = 0; call.border && tap < grid.taps; ++tap) {
                to.border[channel * grid.taps + tap] = total(its + (tap + 1) * 16);
            }
        }
    }
};

/// Adds each row's sum over a block's positions, in 16 lanes.
inline void add_row_sums(const uint8_t* rows, int64_t count, int64_t depth, int64_t apart, float* sums) {
    const __m512bh ones = (__m512bh)_mm512_set1_epi16(0x3f80);
    for (int64_t row = 0; row < count; ++row) {
        const uint8_t* from = rows + row / 16 * apart + row % 16 * 64;
        __m512 sum = _mm512_load_ps(sums + row * 16);
        for (int64_t group = 0; group < depth; ++group) {
            sum = _mm512_dpbf16_ps(sum, (__m512bh)load(from + group * TILE), ones);
        }
        _mm512_store_ps(sums + row * 16, sum);
    }
}

/// Adds the outputs' gradients over positions, and per tap over those positions whose neighbour is outside.
inline void add_edge_sums(
    const Call& call, const float* gradient, const Grid& grid, int64_t begin, int64_t end, float* sums
) {
    for (int64_t channel = 0; channel < call.channels_out; ++channel) {
        const float* plane = gradient + channel * grid.positions;
        float* its = sums + channel * (grid.taps + 1) * 16;
        __m512 whole = _mm512_load_ps(its);
        for (int64_t at = begin; at < end; at += 16) {
            const __m512 value = _mm512_maskz_loadu_ps(first_bits(end - at), plane + at);
            whole = _mm512_add_ps(whole, value);
            const __m128i touched = _mm_loadu_si128((const __m128i*)(grid.touched + at % grid.per_image));
            if (!call.border || _mm_testz_si128(touched, touched)) continue;
            for (int64_t tap = 0; tap < grid.taps; ++tap) {
                const __mmask16 outside = _mm_test_epi8_mask(touched, _mm_set1_epi8(grid.faces[tap]));
                float* lanes = its + (tap + 1) * 16;
                const __m512 known = _mm512_load_ps(lanes);
                _mm512_store_ps(lanes, _mm512_mask_add_ps(known, outside, known, value));
            }
        }
        _mm512_store_ps(its, whole);
    }
}

}  // namespace secondread
