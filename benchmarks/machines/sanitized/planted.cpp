// Faults that sanitizers have to find, and what is none: without these nobody knows that the sanitizers look.

#include <cstdint>
#include <cstdlib>

#define EXPORTED extern "C" __attribute__((visibility("default")))

EXPORTED int64_t overrun(int64_t by) {
    volatile char* volatile numbers = static_cast<char*>(std::malloc(13));  // of no size that the compiler knows
    numbers[12 + by] = 1;
    std::free(const_cast<char*>(numbers));
    return 0;
}

EXPORTED int64_t overflow(int64_t by) {
    volatile int32_t large = INT32_MAX;
    return large + static_cast<int32_t>(by);
}

EXPORTED int64_t race(int64_t by) {
    int64_t shared = 0;
#pragma omp parallel num_threads(3)
    for (int64_t at = 0; at < 1000; ++at) *static_cast<volatile int64_t*>(&shared) += by;
    return shared;
}

EXPORTED int64_t turns(int64_t by) {
    int64_t shared[3] = {by, 0, 0}, found = 0;
#pragma omp parallel num_threads(3)
    {
#pragma omp for schedule(static)
        for (int64_t at = 0; at < 3; ++at) shared[at] += 1;
#pragma omp for schedule(dynamic, 1)
        for (int64_t at = 0; at < 3; ++at) shared[at] += shared[at] > 5;
#pragma omp for schedule(static)
        for (int64_t at = 0; at < 1; ++at) found = shared[0] + shared[1] + shared[2];
    }
    return found;
}
