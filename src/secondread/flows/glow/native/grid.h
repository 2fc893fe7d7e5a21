// A map's positions in the order of memory, and their neighbours.
//
// A tap's neighbour of position p lies at p + offset; whether it lies inside the map follows from one byte per
// position that says which of the map's faces it touches.
#pragma once

#include "arena.h"

namespace secondread {

constexpr int64_t GROUP = 32;  // positions that travel together at most
constexpr uint8_t FIRST = 1, LAST = 2;  // faces of the innermost axis; the next axis has these bits times 4

/// Maps `[N, *S]` and the 3^rank taps of a position.
struct Grid {
    int64_t taps, positions, per_image;
    int64_t offset[27];
    uint8_t faces[27];  // that a position must not touch for this tap's neighbour to exist
    const uint8_t* touched;  // faces that each position of an image touches, and GROUP positions more

    Grid(int64_t rank, const int64_t* size, int64_t images, Arena& arena) {
        taps = 1, per_image = 1;
        for (int64_t axis = 0; axis < rank; ++axis) taps *= 3, per_image *= size[axis];
        positions = images * per_image;
        for (int64_t tap = 0; tap < taps; ++tap) {
            offset[tap] = 0, faces[tap] = 0;
            int64_t rest = tap, stride = 1;
            for (int64_t inner = 0; inner < rank; ++inner) {
                const int64_t step = rest % 3 - 1;
                rest /= 3;
                offset[tap] += step * stride;
                stride *= size[rank - 1 - inner];
                if (step != 0) faces[tap] |= (step < 0 ? FIRST : LAST) << (2 * inner);
            }
        }
        uint8_t* faced = arena.take(per_image + 2 * GROUP);
        std::memset(faced, 0, per_image);
        int64_t stride = 1;
        for (int64_t inner = 0; inner < rank; ++inner) {
            const int64_t length = size[rank - 1 - inner], whole = stride * length;
            for (int64_t start = 0; start < per_image; start += whole) {
                for (int64_t at = 0; at < stride; ++at) {
                    faced[start + at] |= FIRST << (2 * inner);
                    faced[start + whole - stride + at] |= LAST << (2 * inner);
                }
            }
            stride = whole;
        }
        for (int64_t at = 0; at < 2 * GROUP; ++at) faced[per_image + at] = faced[at % per_image];
        touched = faced;
    }

    bool has(int64_t position, int64_t tap) const {
        return (touched[position % per_image] & faces[tap]) == 0;
    }
};

}  // namespace secondread
