// Asks a source's functions again what was asked of them elsewhere (`replay.py`): reads calls from the file "in", and
// writes to "out" what each gave back and what became of its buffers. All numbers are int64.
//
//   in   per call: function, arguments, buffers; per argument: buffer (or -1) and offset in it (or value); per
//        buffer: bytes, pointers in it, whether it is wanted back, its pointers (offset, buffer, offset in that), its bytes
//   out  per call: what the function gave back; the bytes of each buffer that is wanted
//
// SOURCE is the source, FUNCTIONS the names of its functions in the order of their numbers.

#include <omp.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include SOURCE

extern "C" int omp_get_thread_num() noexcept { return 0; }
extern "C" int omp_get_num_threads() noexcept { return 1; }

typedef int64_t N;
constexpr int MOST = 10;  // arguments
static FILE *in, *out;

static bool number(int64_t& to) { return fread(&to, 8, 1, in) == 1; }

struct Buffer {
    char* bytes;
    int64_t length, wanted;
    std::vector<int64_t> pointers;
};

/// Whether there was one more.
static bool one_call() {
    int64_t function, count, buffers;
    if (!number(function) || !number(count) || !number(buffers)) return false;
    int64_t arguments[MOST] = {}, places[MOST];
    if (count > MOST) exit(3);
    for (int64_t at = 0; at < count; ++at) number(places[at]), number(arguments[at]);
    std::vector<Buffer> given(buffers);
    for (Buffer& buffer : given) {
        int64_t pointers;
        number(buffer.length), number(pointers), number(buffer.wanted);
        buffer.pointers.resize(3 * pointers);
        for (int64_t& pointer : buffer.pointers) number(pointer);
        buffer.bytes = (char*)aligned_alloc(64, (buffer.length + 127) / 64 * 64);
        if (fread(buffer.bytes, 1, buffer.length, in) != size_t(buffer.length)) exit(2);
    }
    for (Buffer& buffer : given) {
        for (size_t at = 0; at < buffer.pointers.size(); at += 3) {
            const int64_t* pointer = &buffer.pointers[at];
            const char* to = given[pointer[1]].bytes + pointer[2];
            memcpy(buffer.bytes + pointer[0], &to, sizeof to);
        }
    }
    for (int64_t at = 0; at < count; ++at) {
        if (places[at] >= 0) arguments[at] += int64_t(given[places[at]].bytes);
    }
    typedef int64_t Function(N, N, N, N, N, N, N, N, N, N);
    static void* const functions[] = {FUNCTIONS};
    const int64_t* a = arguments;
    const int64_t found = ((Function*)functions[function])(a[0], a[1], a[2], a[3], a[4], a[5], a[6], a[7], a[8], a[9]);
    fwrite(&found, 8, 1, out);
    for (Buffer& buffer : given) {
        if (buffer.wanted) fwrite(buffer.bytes, 1, buffer.length, out);
        free(buffer.bytes);
    }
    return true;
}

int main(int, char** files) {
    in = fopen(files[1], "rb"), out = fopen(files[2], "wb");
    while (one_call()) {
    }
    return fclose(out);
}
