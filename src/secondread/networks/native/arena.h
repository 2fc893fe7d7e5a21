// Memory for one call after another.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>
#include <vector>

namespace secondread {

inline int64_t divide_up(int64_t value, int64_t by) { return (value + by - 1) / by; }

/// Memory that a calling thread keeps between calls: fresh pages cost as much as a small forward pass.
///
/// With APART each piece is an allocation of exactly its size, full of numbers that are none, so that sanitizers see
/// what reaches beyond it and results show what nobody wrote.
class Arena {
  public:
    static Arena& own() {
        thread_local Arena arena;
        return arena;
    }
    /// Everything taken before is free again.
    void restart() {
#ifdef APART
        clear();
#endif
        if (blocks_.size() > 1) {
            int64_t whole = 0;
            for (const Block& block : blocks_) whole += block.size;
            clear();
            add(whole);
        }
        used_ = 0;
    }
    template <class T = uint8_t>
    T* take(int64_t count) {
#ifdef APART
        void* piece;
        if (posix_memalign(&piece, 64, count * sizeof(T))) throw std::bad_alloc();
        blocks_.push_back({static_cast<uint8_t*>(piece), 0});
        return static_cast<T*>(std::memset(piece, 0xff, count * sizeof(T)));
#endif
        const int64_t bytes = divide_up(count * static_cast<int64_t>(sizeof(T)) + 64, 64) * 64;
        if (blocks_.empty() || used_ + bytes > blocks_.back().size) {
            add(bytes < MINIMUM ? MINIMUM : bytes);
            used_ = 0;
        }
        uint8_t* found = blocks_.back().start + used_;
        used_ += bytes;
        return reinterpret_cast<T*>(found);
    }
    template <class T = uint8_t>
    T* take_zeros(int64_t count) {
        T* found = take<T>(count);
        std::memset(found, 0, count * sizeof(T));
        return found;
    }
    ~Arena() { clear(); }

  private:
    struct Block {
        uint8_t* start;
        int64_t size;
    };
    static constexpr int64_t MINIMUM = 1 << 20;
    void add(int64_t bytes) {
        void* start = std::aligned_alloc(4096, divide_up(bytes, 4096) * 4096);
        if (start == nullptr) throw std::bad_alloc();
        blocks_.push_back({static_cast<uint8_t*>(start), divide_up(bytes, 4096) * 4096});
    }
    void clear() {
        for (const Block& block : blocks_) std::free(block.start);
        blocks_.clear();
    }
    std::vector<Block> blocks_;
    int64_t used_ = 0;
};

}  // namespace secondread
