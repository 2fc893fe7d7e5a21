// Runs compiled code of frozen networks on every call that the file "in" holds, and writes what it finds to "out".
//
//   in   per call eight int64 (what the function is asked with), then three (bytes of its description, arrays,
//        numbers that come out), the description, and each array: where its address stands in the description,
//        its bytes, and these
//   out  per call the numbers that come out, float32
//
// SOURCE is the code, KIND which: 0 blocks, 1 couplings, 2 similarity.

#include <cstdio>

#include SOURCE

static int ask(const int64_t* with, char* description, float* out) {
#if KIND == 0
    return secondread_blocks(
        (secondread::Block*)description, with[0], with[1], with[2], with[3], with[4],
        (secondread::Images*)(description + with[5]), out
    );
#elif KIND == 1
    const float* x = *(const float**)(description + with[5]);
    return secondread_couplings(
        (secondread::Coupling*)description, with[0], with[1], with[2], with[3], with[4], x, out, out + with[6]
    );
#else
    return secondread_similarity((secondread::Call*)description, out);
#endif
}

int main(int, char** files) {
    FILE *in = fopen(files[1], "rb"), *out = fopen(files[2], "wb");
    int64_t head[11];
    while (fread(head, 8, 11, in) == 11) {
        std::vector<char> description(head[8]);
        std::vector<std::vector<char>> arrays(head[9]);
        if (fread(description.data(), 1, head[8], in) != size_t(head[8])) return 2;
        for (auto& array : arrays) {
            int64_t place[2];
            if (fread(place, 8, 2, in) != 2) return 2;
            array.resize(place[1]);
            if (fread(array.data(), 1, place[1], in) != size_t(place[1])) return 2;
            const char* address = array.data();
            std::memcpy(description.data() + place[0], &address, sizeof(address));
        }
        std::vector<float> found(head[10]);
        if (ask(head, description.data(), found.data())) return 3;
        fwrite(found.data(), 4, found.size(), out);
    }
    return 0;
}
