// A call's positions divided among threads, and what the parts have found put together.
#pragma once

#include <algorithm>

#include "grid.h"

namespace secondread {

/// A fixed split of all groups of positions among threads: as many threads as have enough to do.
struct Split {
    int64_t parts, groups;

    Split(const Grid& grid, int64_t threads) {
        constexpr int64_t LEAST = 8;
        groups = divide_up(grid.positions, GROUP);
        parts = std::max<int64_t>(1, std::min(threads, groups / LEAST));
    }
    int64_t begin(int64_t part) const { return groups * part / parts * GROUP; }
};

/// Planes to add to: all of a map, or a thread's own copy of the stretch from position `origin` on.
struct Target {
    float* planes;
    int64_t stride, origin;
};

/// Sums of neighbourhoods' columns over all parts: straight into `out` where there is one part, else in
/// copies with a margin, which are added in the order of the parts.
class Total {
  public:
    Total(float* out, int64_t channels, const Grid& grid, const Split& split, Arena& arena)
        : out_(out), channels_(channels), grid_(grid), split_(split), margin_(-grid.offset[0]) {
        if (split.parts == 1) return;
        for (int64_t part = 0; part < split.parts; ++part) {
            copies_.push_back(arena.take<float>(channels * span(part)));
        }
    }
    Target target(int64_t part) const {
        if (split_.parts == 1) return {out_, grid_.positions, 0};
        std::memset(copies_[part], 0, channels_ * span(part) * sizeof(float));
        return {copies_[part], span(part), split_.begin(part) - margin_};
    }
    /// Adds what every part has for the positions of one part.
    void collect(int64_t part) const {
        if (split_.parts == 1) return;
        const int64_t begin = split_.begin(part), end = std::min(split_.begin(part + 1), grid_.positions);
        for (int64_t channel = 0; channel < channels_; ++channel) {
            for (int64_t other = 0; other < split_.parts; ++other) {
                const int64_t origin = split_.begin(other) - margin_;
                const int64_t from = std::max(begin, origin), to = std::min(end, origin + span(other));
                const float* copy = copies_[other] + channel * span(other) - origin;
                float* plane = out_ + channel * grid_.positions;
                for (int64_t at = from; at < to; ++at) plane[at] += copy[at];
            }
        }
    }

  private:
    int64_t span(int64_t part) const { return split_.begin(part + 1) - split_.begin(part) + 2 * margin_; }
    float* out_;
    int64_t channels_;
    const Grid& grid_;
    const Split& split_;
    int64_t margin_;
    std::vector<float*> copies_;
};

/// Calls `work(part)` for every part, each on a thread of its own where there are so many.
template <class Work>
inline void for_each_part(const Split& split, Work work) {
#pragma omp parallel for schedule(static, 1) num_threads(split.parts) if (split.parts > 1)
    for (int64_t part = 0; part < split.parts; ++part) work(part);
}

}  // namespace secondread
