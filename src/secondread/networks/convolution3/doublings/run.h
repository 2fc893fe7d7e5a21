// Layers of a decoder one after another, whose maps stay in memory that is kept.
#pragma once

#include "../frozen.h"
#include "interpolated.h"

namespace secondread {

constexpr int64_t AT_A_TIME = 1 << 22;  // numbers of the largest map of images that pass all layers at once

/// As `packed.py` writes it. kernel 2: `transposed.h`; 3: `frozen.h`, of spread kernels.
struct Layer {
    int64_t kernel, ins, outs, activation;
    const float *weight, *bias;

    bool doubles() const { return kernel == 2; }
};

/// Images x `[images][rows][columns][ins]` to y, `[images][..][..][outs]`; where `end_rows` is not 0, to tanh of that,
/// brought to this size by linear interpolation.
inline void run_layers(
    const Layer* layers, int64_t count, int64_t images, int64_t rows, int64_t columns, int64_t end_rows,
    int64_t end_columns, int64_t threads, const float* x, float* y
) {
    const int64_t from = rows * columns * layers[0].ins;
    int64_t largest = from, to = from, channels = layers[0].ins;
    for (int64_t at = 0, size = rows * columns; at < count; ++at) {
        size *= layers[at].doubles() ? 4 : 1;
        to = size * layers[at].outs;
        largest = std::max(largest, to), channels = std::max(channels, layers[at].ins);
    }
    const int64_t most = std::min(images, std::max(threads, AT_A_TIME / largest));
    std::vector<FrozenCall> calls;
    int64_t each = 0, down = rows, across = columns;
    for (int64_t at = 0; at < count; ++at) {
        const Layer& layer = layers[at];
        calls.push_back({most, layer.ins, layer.outs, down, across, layer.activation == RELU, threads});
        if (layer.doubles()) {
            down *= 2, across *= 2;
        } else {
            for (int64_t some : {most, images % most}) {  // of fewer, a block may have more tiles
                FrozenCall call = calls[at];
                call.images = some;
                if (some) each = std::max(each, FrozenShares(call).each);
            }
        }
    }
    const int64_t outs = layers[count - 1].outs, end = end_rows ? end_rows * end_columns * outs : to;
    if (end_rows) each = std::max(each, interpolation_line(across, outs));
    std::vector<Between> downs(end_rows), acrosses(end_columns);
    find_between(down, end_rows, downs.data()), find_between(across, end_columns, acrosses.data());
    Arena& arena = Arena::own();
    arena.restart();
    const float* zeros = arena.take_zeros<float>(channels);
    float* memory = arena.take<float>(threads * each);
    float* maps[] = {arena.take<float>(most * largest), arena.take<float>(most * largest)};
#pragma omp parallel num_threads(threads)
    for (int64_t first = 0; first < images; first += most) {
        const int64_t some = std::min(most, images - first);
        const float* source = x + first * from;
        for (int64_t at = 0; at < count; ++at) {
            const Layer& layer = layers[at];
            float* target = at + 1 < count || end_rows ? maps[at % 2] : y + first * end;
            FrozenCall call = calls[at];
            call.images = some;
            if (layer.doubles()) {
                const Transposed transposed{layer.ins, layer.outs, layer.activation, layer.weight, layer.bias};
                double_maps(transposed, some, call.rows, call.columns, source, target);
            } else {
                const FrozenShares shares(call);
                convolve_blocks(
                    call, shares, source, layer.weight, layer.bias, nullptr, zeros, memory, each, target
                );
            }
            source = target;
        }
        if (end_rows == 0) continue;
        interpolate(
            downs.data(), acrosses.data(), some, down, across, outs, end_rows, end_columns, source, memory, each,
            y + first * end
        );
    }
}

}  // namespace secondread
