// The part of OpenMP that compiled code uses, by threads that ThreadSanitizer can follow: it does not see how the
// compiler's own library makes threads wait for one another, and would call all that they share a race.

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace {

struct Loop {
    std::atomic<long> next;
    long end, step, chunk;
};

struct Team {
    const unsigned size;
    std::mutex mutex;
    std::condition_variable changed;
    unsigned waiting = 0;
    unsigned long round = 0;
    std::vector<std::unique_ptr<Loop>> loops;

    explicit Team(unsigned size) : size(size) {}

    void wait() {
        std::unique_lock<std::mutex> lock(mutex);
        const unsigned long own = round;
        if (++waiting == size) {
            waiting = 0, ++round;
            changed.notify_all();
        } else {
            changed.wait(lock, [&] { return round != own; });
        }
    }
    Loop& loop(size_t number, long start, long end, long step, long chunk) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (number == loops.size()) loops.emplace_back(new Loop{{start}, end, step, chunk});
        return *loops[number];
    }
};

/// A thread's place in its team.
struct Place {
    Team* team;
    unsigned number;
    size_t loops;
    Loop* loop;
};

thread_local Place own{nullptr, 0, 0, nullptr};

}  // namespace

extern "C" {

int omp_get_thread_num() { return own.number; }
int omp_get_num_threads() { return own.team ? own.team->size : 1; }

void GOMP_parallel(void (*work)(void*), void* data, unsigned threads, unsigned) {
    const Place before = own;
    Team team(threads ? threads : 1);
    std::vector<std::thread> others;
    for (unsigned number = 1; number < team.size; ++number) {
        others.emplace_back([&team, number, work, data] {
            own = {&team, number, 0, nullptr};
            work(data);
        });
    }
    own = {&team, 0, 0, nullptr};
    work(data);
    for (std::thread& other : others) other.join();
    own = before;
}

void GOMP_barrier() {
    if (own.team) own.team->wait();
}

bool GOMP_loop_nonmonotonic_dynamic_next(long* start, long* end) {
    Loop& loop = *own.loop;
    const long found = loop.next.fetch_add(loop.chunk * loop.step, std::memory_order_relaxed);
    if (found >= loop.end) return false;
    *start = found, *end = std::min(loop.end, found + loop.chunk * loop.step);
    return true;
}

bool GOMP_loop_nonmonotonic_dynamic_start(
    long begin, long finish, long step, long chunk, long* start, long* end
) {
    own.loop = &own.team->loop(own.loops++, begin, finish, step, chunk);
    return GOMP_loop_nonmonotonic_dynamic_next(start, end);
}

void GOMP_loop_end() { GOMP_barrier(); }

}  // extern "C"
