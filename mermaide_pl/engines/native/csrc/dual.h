// Dual numbers, matrices of them and their products; workspaces; threads over tasks.

#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <system_error>
#include <thread>
#include <vector>

#include "binary_interface.h"
#include "vector.h"

namespace mermaide {

template <class T>
i64 pad(i64 size) {
  return (size + W<T> - 1) / W<T> * W<T>;
}

// ---- dual numbers ---------------------------------------------------------------------------

template <class V, bool D>
struct Num {
  V v;
};
template <class V>
struct Num<V, true> {
  V v, d;
};

template <class V, bool D>
inline Num<V, D> operator+(Num<V, D> a, Num<V, D> b) {
  if constexpr (D) return {a.v + b.v, a.d + b.d};
  else return {a.v + b.v};
}
template <class V, bool D>
inline Num<V, D> operator-(Num<V, D> a, Num<V, D> b) {
  if constexpr (D) return {a.v - b.v, a.d - b.d};
  else return {a.v - b.v};
}
template <class V, bool D>
inline Num<V, D> operator*(Num<V, D> a, Num<V, D> b) {
  if constexpr (D) return {a.v * b.v, a.d * b.v + a.v * b.d};
  else return {a.v * b.v};
}
template <class V, bool D>
inline Num<V, D> one_minus(Num<V, D> a) {
  if constexpr (D) return {V(1) - a.v, V(0) - a.d};
  else return {V(1) - a.v};
}

template <class V, bool D>
inline Num<V, D> sigmoid(Num<V, D> a) {
  const V s = V(1) / (V(1) + exponential(V(0) - a.v));
  if constexpr (D) return {s, s * (V(1) - s) * a.d};
  else return {s};
}
template <class V, bool D>
inline Num<V, D> tangent_h(Num<V, D> a) {
  const V t = V(1) - V(2) / (V(1) + exponential(a.v + a.v));
  if constexpr (D) return {t, (V(1) - t * t) * a.d};
  else return {t};
}

// ---- matrices -------------------------------------------------------------------------------

// Row-major values with a row stride; `d` are the tangents, null where they are zero.
template <class T>
struct Mat {
  T* v = nullptr;
  T* d = nullptr;
  i64 ld = 0;
  Mat at(i64 row, i64 col) const {
    const i64 shift = row * ld + col;
    return {v + shift, d ? d + shift : nullptr, ld};
  }
  Mat constant() const { return {v, nullptr, ld}; }
};

template <bool D, class T>
inline Num<Vec<T>, D> load(const Mat<T>& m, i64 i) {
  if constexpr (D) return {Vec<T>::loadu(m.v + i), Vec<T>::loadu(m.d + i)};
  else return {Vec<T>::loadu(m.v + i)};
}
template <class T, bool D>
inline void store(const Mat<T>& m, i64 i, Num<Vec<T>, D> x) {
  x.v.store(m.v + i);
  if constexpr (D) x.d.store(m.d + i);
}
template <bool D, class T>
inline Num<T, D> get(const Mat<T>& m, i64 i) {
  if constexpr (D) return {m.v[i], m.d[i]};
  else return {m.v[i]};
}
template <class T, bool D>
inline void put(const Mat<T>& m, i64 i, Num<T, D> x) {
  m.v[i] = x.v;
  if constexpr (D) m.d[i] = x.d;
}

// c [R, C vectors] += a [R, depth] b [depth, C vectors], held in registers.
template <class T, int R, int C>
inline void tile(const T* a, i64 a_row, i64 a_col, const T* b, i64 ldb, T* c, i64 ldc, i64 depth) {
  Vec<T> sum[R][C];
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) sum[r][j] = Vec<T>::loadu(c + r * ldc + j * W<T>);
  for (i64 k = 0; k < depth; ++k) {
    Vec<T> right[C];
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) right[j] = Vec<T>::loadu(b + k * ldb + j * W<T>);
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) {
      const Vec<T> left(a[r * a_row + k * a_col]);
#pragma GCC unroll 4
      for (int j = 0; j < C; ++j) sum[r][j] = left * right[j] + sum[r][j];
    }
  }
#pragma GCC unroll 8
  for (int r = 0; r < R; ++r)
#pragma GCC unroll 4
    for (int j = 0; j < C; ++j) sum[r][j].store(c + r * ldc + j * W<T>);
}

template <class T, int R, int C>
inline void remaining_rows(i64 rows, const T* a, i64 a_row, i64 a_col, const T* b, i64 ldb, T* c,
                           i64 ldc, i64 depth) {
  if constexpr (R > 0) {
    if (rows == R) tile<T, R, C>(a, a_row, a_col, b, ldb, c, ldc, depth);
    else remaining_rows<T, R - 1, C>(rows, a, a_row, a_col, b, ldb, c, ldc, depth);
  }
}

template <class T, int C>
inline void strip(i64 rows, const T* a, i64 a_row, i64 a_col, const T* b, i64 ldb, T* c, i64 ldc,
                  i64 depth) {
  constexpr int R = sizeof(T) * W<T> == 64 ? 8 : 4;  // as many sums as there are registers for
  i64 r = 0;
  for (; r + R <= rows; r += R)
    tile<T, R, C>(a + r * a_row, a_row, a_col, b, ldb, c + r * ldc, ldc, depth);
  remaining_rows<T, R - 1, C>(rows - r, a + r * a_row, a_row, a_col, b, ldb, c + r * ldc, ldc, depth);
}

// c [rows, cols] += a [rows, depth] b [depth, cols]; `a` with any strides, cols in whole vectors.
template <class T>
void add_product(i64 rows, i64 cols, i64 depth, const T* a, i64 a_row, i64 a_col, const T* b, i64 ldb,
                 T* c, i64 ldc) {
  constexpr i64 DEPTH = 128;  // rows of b that stay in the first cache
  for (i64 k = 0; k < depth; k += DEPTH) {
    const i64 part = depth - k < DEPTH ? depth - k : DEPTH;
    const T *left = a + k * a_col, *right = b + k * ldb;
    for (i64 j = 0, left_over = cols / W<T>; left_over > 0;) {
      const i64 width = left_over == 4 ? 2 : left_over < 3 ? left_over : 3;
      if (width == 3) strip<T, 3>(rows, left, a_row, a_col, right + j, ldb, c + j, ldc, part);
      else if (width == 2) strip<T, 2>(rows, left, a_row, a_col, right + j, ldb, c + j, ldc, part);
      else strip<T, 1>(rows, left, a_row, a_col, right + j, ldb, c + j, ldc, part);
      j += width * W<T>;
      left_over -= width;
    }
  }
}

// c += a b with tangents; a [rows, depth], b [depth, cols].
template <bool D, class T>
void add_product(i64 rows, i64 cols, i64 depth, Mat<T> a, Mat<T> b, Mat<T> c) {
  add_product<T>(rows, cols, depth, a.v, a.ld, 1, b.v, b.ld, c.v, c.ld);
  if constexpr (D) {
    if (a.d) add_product<T>(rows, cols, depth, a.d, a.ld, 1, b.v, b.ld, c.d, c.ld);
    if (b.d) add_product<T>(rows, cols, depth, a.v, a.ld, 1, b.d, b.ld, c.d, c.ld);
  }
}

// c += a^T b, a [depth, rows], b [depth, cols]; with D the tangent of that, and only it.
template <bool D, class T>
void add_outer(i64 rows, i64 cols, i64 depth, Mat<T> a, Mat<T> b, T* c, i64 ldc) {
  if constexpr (!D) {
    add_product<T>(rows, cols, depth, a.v, 1, a.ld, b.v, b.ld, c, ldc);
  } else {
    if (a.d) add_product<T>(rows, cols, depth, a.d, 1, a.ld, b.v, b.ld, c, ldc);
    if (b.d) add_product<T>(rows, cols, depth, a.v, 1, a.ld, b.d, b.ld, c, ldc);
  }
}

// Grow-only memory, kept between calls: fresh pages cost more than the arithmetic on them.
class Arena {
 public:
  struct Mark {
    size_t block = 0;
    i64 used = 0;
  };
  Mark mark() const { return at_; }
  void back_to(Mark mark) { at_ = mark; }
  template <class T>
  T* take(i64 count) {
    const i64 bytes = (count * i64(sizeof(T)) + 63) / 64 * 64;
    while (at_.block < blocks_.size() && at_.used + bytes > blocks_[at_.block].size)
      at_ = {at_.block + 1, 0};
    if (at_.block == blocks_.size()) grow(bytes);
    T* out = reinterpret_cast<T*>(blocks_[at_.block].start + at_.used);
    at_.used += bytes;
    return out;
  }
  template <class T>
  Mat<T> matrix(i64 rows, i64 ld, bool tangent) {
    const i64 count = rows * ld + W<T>;  // a vector of slack: rows may be read past their end
    T* v = take<T>(count);
    return {v, tangent ? take<T>(count) : nullptr, ld};
  }

 private:
  struct Block {
    std::unique_ptr<char[]> memory;
    char* start;
    i64 size;
  };
  void grow(i64 bytes) {
    const i64 size = std::max(bytes, i64(1) << 22);
    auto memory = std::make_unique<char[]>(size + 64);
    char* start = memory.get() + (64 - reinterpret_cast<uintptr_t>(memory.get()) % 64) % 64;
    blocks_.push_back({std::move(memory), start, size});
    at_ = {blocks_.size() - 1, 0};
  }
  std::vector<Block> blocks_;
  Mark at_;
};

class Arenas {
 public:
  std::unique_ptr<Arena> borrow() {
    std::lock_guard<std::mutex> guard(lock_);
    if (free_.empty()) return std::make_unique<Arena>();
    auto arena = std::move(free_.back());
    free_.pop_back();
    return arena;
  }
  void give_back(std::unique_ptr<Arena> arena) {
    std::lock_guard<std::mutex> guard(lock_);
    free_.push_back(std::move(arena));
  }

 private:
  std::mutex lock_;
  std::vector<std::unique_ptr<Arena>> free_;
};
Arenas arenas;

// Threads take tasks as they become free, so a busy neighbour delays one task, not all.
template <class Work>
void for_each_task(i64 num_tasks, i64 num_threads, Work work) {
  std::atomic<i64> next{0};
  auto run = [&] {
    auto arena = arenas.borrow();
    for (i64 task; (task = next++) < num_tasks;) {
      arena->back_to({});
      work(task, *arena);
    }
    arenas.give_back(std::move(arena));
  };
  std::vector<std::thread> others;
  try {
    for (i64 i = 1; i < num_threads && i < num_tasks; ++i) others.emplace_back(run);
  } catch (const std::system_error&) {  // no more threads available: continue with those there are
  }
  run();
  for (auto& thread : others) thread.join();
}

}  // namespace mermaide
