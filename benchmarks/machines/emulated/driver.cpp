// Runs the compiled coupling network on every call that the file "in" holds, and writes what it
// finds to "out".
//
//   in   per call nine int64 (rank, size, images, channels in and out, width, border), then the arrays of
//        `Call` in its order, then the gradient of the output
//   out  per call the output, then the arrays of `Gradients` in their order, all float32
//
// SOURCE is a form's `coupling.cpp`, TILES 1 where that is the one in AMX tiles.

#include <cstdio>

#include SOURCE

using secondread::Call;
using secondread::Gradients;

static int one(const int64_t* head, FILE* in, FILE* out) {
    Call call{head[0], {head[1], head[2], head[3]}, head[4], head[5], head[6], head[7], 1};
    const bool border = head[8];
    const int64_t taps = call.rank == 2 ? 9 : 27, positions = call.images * head[1] * head[2] * head[3];
    const int64_t w = call.width, o = call.channels_out;
    const int64_t rows = (call.channels_in + border) * taps, columns = o * taps, edges = border ? columns : 0;
    const int64_t given = call.channels_in * positions, made = o * positions;
#if TILES
    const int64_t counts[] = {given, w * (rows + 1), w * w, w, columns * w, o, edges, made};
    const int bytes[] = {4, 2, 2, 2, 2, 4, 4, 4};
#else
    const int64_t counts[] = {given, w * rows, w, w, w * w, w, w, columns * w, o, o, edges, made};
    const int bytes[] = {4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4};
#endif
    constexpr int ARRAYS = sizeof(bytes) / sizeof(*bytes);
    std::vector<char> from[ARRAYS];
    std::vector<float> to[ARRAYS];
    const void* arguments[ARRAYS];
    float* results[ARRAYS];
    for (int at = 0; at < ARRAYS; ++at) {
        from[at].resize(counts[at] * bytes[at]), to[at].resize(counts[at]);
        if (fread(from[at].data(), bytes[at], counts[at], in) != size_t(counts[at])) return 2;
        arguments[at] = counts[at] ? from[at].data() : nullptr;
        results[at] = counts[at] ? to[at].data() : nullptr;
    }
    static_assert(sizeof(Gradients) == (ARRAYS - 1) * sizeof(float*));
    std::memcpy(&call.x, arguments, sizeof(Gradients));
    if (secondread_forward(&call, to[ARRAYS - 1].data())) return 3;
    const float* gradient = (const float*)arguments[ARRAYS - 1];
    if (secondread_backward(&call, gradient, (const Gradients*)results)) return 3;
    fwrite(to[ARRAYS - 1].data(), 4, made, out);
    for (int at = 0; at < ARRAYS - 1; ++at) fwrite(to[at].data(), 4, counts[at], out);
    return 0;
}

int main(int, char** files) {
#if TILES
    if (secondread_permission()) return 1;
#endif
    FILE *in = fopen(files[1], "rb"), *out = fopen(files[2], "wb");
    int64_t head[9];
    while (fread(head, 8, 9, in) == 9) {
        if (const int problem = one(head, in, out)) return problem;
    }
    return fclose(out);
}
