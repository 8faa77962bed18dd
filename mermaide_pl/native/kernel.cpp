// The principal's network and the game, fused: each thread takes whole tasks and runs their time
// loops in a workspace of its own, so that neither dispatch nor memory traffic is paid per step.
//
// First and second derivatives share their code. Everything below is written for numbers `Num<V, D>`
// and matrices `Mat<T>` that may carry a tangent (D = true): arithmetic of dual numbers. With D the
// gradient code yields the derivative of the gradient along a direction in weight space, the
// Hessian-vector product that second-order adaptation needs (Pearlmutter, "Fast exact multiplication
// by the Hessian", 1994).
//
// Axes as in trajectory.py: M tasks, B episodes, T steps, A arms, L levels, H hidden units, F features.
// A "row" is one step of one episode. Widths marked `_p` are padded to whole vectors.

#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <mutex>
#include <numeric>
#include <thread>
#include <vector>

namespace {

using i64 = int64_t;
template <class T>
using Vec = at::vec::Vectorized<T>;
template <class T>
constexpr i64 W = Vec<T>::size();

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

inline float exponential(float x) { return std::exp(x); }
inline double exponential(double x) { return std::exp(x); }
inline Vec<double> exponential(Vec<double> x) { return x.exp(); }
// 2^n e^r with the polynomial of Cephes' expf, within 2 units in the last place; inlined, half the
// time of a call. Clamped to what a normal number can hold; NaN stays NaN.
inline Vec<float> exponential(Vec<float> x) {
  using F = Vec<float>;
  x = at::vec::clamp(x, F(-87.0f), F(88.0f));
  const F n = (x * F(1.44269504f)).round();
  const F r = at::vec::fmadd(n, F(2.12194440e-4f), at::vec::fmadd(n, F(-0.693359375f), x));
  F y(1.9875691500e-4f);
  for (const float next : {1.3981999507e-3f, 8.3334519073e-3f, 4.1665795894e-2f, 1.6666665459e-1f,
                           5.0000001201e-1f, 1.0f, 1.0f})
    y = at::vec::fmadd(y, r, F(next));
  using I = Vec<int32_t>;
  const I exponent = at::vec::convert_to_int_of_same_size(n) + I(127);
  return y * at::vec::cast<float>(exponent << I(23));
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
      for (int j = 0; j < C; ++j) sum[r][j] = at::vec::fmadd(left, right[j], sum[r][j]);
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
  constexpr i64 DEPTH = 128;  // what of b stays in the first cache
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
    auto memory = std::make_unique<char[]>(size + 64);  // zeroed, so that padding is finite
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
  for (i64 i = 1; i < num_threads && i < num_tasks; ++i) others.emplace_back(run);
  run();
  for (auto& thread : others) thread.join();
}

// ---- the principal --------------------------------------------------------------------------

enum Forecast : i64 { NONE = 0, LINEAR = 1, SHARED = 2 };
enum LayerName { IH, HH, COMMON, ARM, OUT, POLICY_IN, POLICY_OUT, CRITIC_IN, CRITIC_OUT, LAYERS };

// Sizes, in the order in which Python sends them.
struct Sizes {
  i64 M, B, T, A, L, H, P, G, per_arm, S, forecast, critic;
  i64 F() const { return G + A * per_arm; }
};

// What one call is about; layers come as (weight, bias) pairs, null where absent.
template <class T>
struct Call {
  Sizes s;
  const T* weight[2 * LAYERS];
  i64 weight_stride[2 * LAYERS];  // from task to task, 0 if shared
  const T* tangent[2 * LAYERS];   // direction in weight space, for second derivatives
  i64 tangent_stride[2 * LAYERS];
  T* grad[2 * LAYERS];      // [M, ...], null where not wanted
  const T* features;        // [M, B, T, F]
  const i64 *levels, *arms; // [M, B, T], what was recorded; its likelihood is an output
  // level logits, values, arm logits, log-probability of the levels, log-likelihood of the arms
  const T* cotangent[5];    // null for zero
  T* out[5];                // values, or with a tangent their tangents; null where not wanted
};

// Weights of one task, padded, as the products want them.
template <class T>
struct Layer {
  i64 out = 0, in = 0, rows = 0, out_p = 0, in_p = 0;
  std::vector<i64> row, col;  // where each output and input stands in the padded matrices
  Mat<T> by_in, by_out, bias;  // [in_p, out_p], [out_p, in_p], [out_p]
  T *grad = nullptr, *grad_bias = nullptr;

  void shape(i64 out_size, i64 in_size) {
    out = out_size, in = in_size;
    row.resize(out), col.resize(in);
    for (i64 o = 0; o < out; ++o) row[o] = o;
    for (i64 i = 0; i < in; ++i) col[i] = i;
  }
  void fit() {
    rows = *std::max_element(row.begin(), row.end()) + 1;
    out_p = pad<T>(rows), in_p = pad<T>(*std::max_element(col.begin(), col.end()) + 1);
  }
  void allocate(Arena& arena, bool tangent, bool tangent_bias) {
    by_in = arena.matrix<T>(in_p, out_p, tangent);
    by_out = arena.matrix<T>(out_p, in_p, tangent);
    bias = arena.matrix<T>(1, out_p, tangent || tangent_bias);
    for (T* part : {by_in.v, by_in.d, by_out.v, by_out.d})
      if (part) std::fill_n(part, in_p * out_p, T(0));
    for (T* part : {bias.v, bias.d})
      if (part) std::fill_n(part, out_p, T(0));
    grad = grad_bias = nullptr;
  }
  void pack(const T* weight, T* in_first, T* out_first) {
    for (i64 o = 0; o < out; ++o)
      for (i64 i = 0; i < in; ++i) {
        const T w = weight[o * in + i];
        in_first[col[i] * out_p + row[o]] = w;
        out_first[row[o] * in_p + col[i]] = w;
      }
  }
  void pack_bias(const T* given, T* to) {
    for (i64 o = 0; o < out; ++o) to[row[o]] = given[o];
  }
  void unpack(T* weight, T* given_bias) const {
    if (weight)
      for (i64 o = 0; o < out; ++o)
        for (i64 i = 0; i < in; ++i) weight[o * in + i] = grad[row[o] * in_p + col[i]];
    if (given_bias)
      for (i64 o = 0; o < out; ++o) given_bias[o] = grad_bias[row[o]];
  }
};

// One task's network over R episodes and T steps; row (t, r) is number t * R + r.
template <class T, bool D>
class Network {
 public:
  Network(const Call<T>& call, Arena& arena, i64 task, i64 steps, i64 max_rows)
      : call_(call), s_(call.s), steps_(steps), arena_(arena) {
    Hp_ = pad<T>(s_.H);
    Lp_ = pad<T>(s_.L), Sp_ = pad<T>(s_.S), Pp_ = pad<T>(s_.P), LAp_ = pad<T>(s_.L * s_.A);
    seen_ = Hp_ + s_.G + s_.per_arm;  // what policy and critic see of a row of z_
    const i64 zs = pad<T>(Hp_ + s_.F()) + W<T>, rows = steps * max_rows;
    shape_layers();
    for (i64 k = 0; k < LAYERS; ++k) load_layer(k, task);
    z_ = arena.matrix<T>(rows + max_rows, zs, D);
    gates_ = arena.matrix<T>(rows, 4 * Hp_, D);
    recurrent_ = arena.matrix<T>(max_rows, 3 * Hp_, D);
    policy_ = arena.matrix<T>(rows, Pp_, D);
    levels_ = arena.matrix<T>(rows, Lp_, D), level_probs_ = arena.matrix<T>(rows, Lp_, D);
    if (s_.critic) critic_ = arena.matrix<T>(rows, Pp_, D), values_ = arena.matrix<T>(rows, W<T>, D);
    if (s_.forecast) {
      logits_ = arena.matrix<T>(rows, LAp_, D);
      probs_ = arena.matrix<T>(rows, LAp_, D);
      target_ = arena.matrix<T>(rows, Lp_, D);
    }
    if (s_.forecast == SHARED) {
      units_ = arena.matrix<T>(rows * s_.A, Sp_, D);
      common_ = arena.matrix<T>(CHUNK, Sp_, D);
      by_arm_ = arena.matrix<T>(CHUNK * s_.A, Lp_, D);
      arms_ = arena.matrix<T>(CHUNK * s_.A, s_.per_arm, false);
    }
  }

  static constexpr i64 CHUNK = 64;  // rows of the heads computed at once

  // Start R episodes from a zero state.
  void begin(i64 episodes) {
    R_ = episodes;
    clear(z_, R_);
  }
  T* features(i64 q) { return z_.v + (q + R_) * z_.ld + Hp_; }
  void take_features(i64 task, i64 first) {
    const i64 F = s_.F();
    for (i64 t = 0; t < steps_; ++t)
      for (i64 r = 0; r < R_; ++r) {
        T* to = features(t * R_ + r);
        std::copy_n(call_.features + ((task * s_.B + first + r) * s_.T + t) * F, F, to);
        if constexpr (D) std::fill_n(z_.d + (to - z_.v), z_.ld - Hp_, T(0));
      }
  }
  // Input projections of the rows [q0, q1).
  void project(i64 q0, i64 q1) {
    const Layer<T>& layer = layers_[IH];
    fill(gates_.at(q0, 0), q1 - q0, layer.bias, 3 * Hp_);
    add_product<D>(q1 - q0, 3 * Hp_, s_.F(), row(q0, Hp_).constant(), layer.by_in, gates_.at(q0, 0));
  }
  // h' = n + z (h - n); gates_ holds the projections n, r, z before, and n, r, z, W_n h + b_n after.
  void recur(i64 t) {
    const Layer<T>& layer = layers_[HH];
    fill(recurrent_, R_, layer.bias, 3 * Hp_);
    add_product<D>(R_, 3 * Hp_, Hp_, row((t - 1) * R_, 0), layer.by_in, recurrent_);
    for (i64 r = 0; r < R_; ++r) {
      const Mat<T> before = row((t - 1) * R_ + r, 0), after = row(t * R_ + r, 0);
      const Mat<T> gate = gates_.at(t * R_ + r, 0), rec = recurrent_.at(r, 0);
      for (i64 j = 0; j < Hp_; j += W<T>) {
        const auto reset = sigmoid(load<D>(gate, Hp_ + j) + load<D>(rec, j));
        const auto update = sigmoid(load<D>(gate, 2 * Hp_ + j) + load<D>(rec, Hp_ + j));
        const auto inner = load<D>(rec, 2 * Hp_ + j);
        const auto candidate = tangent_h(load<D>(gate, j) + reset * inner);
        store(gate, j, candidate), store(gate, Hp_ + j, reset);
        store(gate, 2 * Hp_ + j, update), store(gate, 3 * Hp_ + j, inner);
        store(after, j, candidate + update * (load<D>(before, j) - candidate));
      }
    }
  }
  void keep_last_state() {  // for playing on: a network of one step
    for (i64 r = 0; r < R_; ++r) std::copy_n(row(r, 0).v, Hp_, row(r - R_, 0).v);
  }
  // Forecast, policy and critic of the rows [q0, q1).
  void heads(i64 q0, i64 q1, bool with_critic = true) {
    const i64 n = q1 - q0;
    if (s_.forecast) forecast(q0, q1);
    const Mat<T> target = s_.forecast ? target_.at(q0, 0) : Mat<T>{};
    dense_tanh(POLICY_IN, q0, n, target, policy_);
    affine(POLICY_OUT, n, policy_.at(q0, 0), s_.P, levels_.at(q0, 0));
    if (with_critic && s_.critic) {
      dense_tanh(CRITIC_IN, q0, n, target, critic_);
      affine(CRITIC_OUT, n, critic_.at(q0, 0), s_.P, values_.at(q0, 0));
    }
  }
  const T* level_logits(i64 q) const { return levels_.v + q * levels_.ld; }

  void forward(i64 task, i64 first) {
    take_features(task, first);
    const i64 rows = steps_ * R_;
    for (i64 q = 0; q < rows; q += CHUNK) project(q, std::min(q + CHUNK, rows));
    for (i64 t = 0; t < steps_; ++t) recur(t);
    for (i64 q = 0; q < rows; q += CHUNK) heads(q, std::min(q + CHUNK, rows));
    for (i64 q = 0; q < rows; ++q) soften(levels_, level_probs_, q * Lp_, s_.L);
  }
  void write_outputs(i64 task, i64 first) {
    const Mat<T> from[3] = {levels_, values_, logits_};
    for_each_row(task, first, [&](i64 q, i64 at) {
      for (int k = 0; k < 3; ++k)
        if (call_.out[k])
          std::copy_n((D ? from[k].d : from[k].v) + q * from[k].ld, width(k),
                      call_.out[k] + at * width(k));
      const i64 level = call_.levels[at], first_arm = q * LAp_ + level * s_.A;
      if (call_.out[3]) call_.out[3][at] = log_softmax(levels_, level_probs_, q * Lp_, s_.L, level);
      if (call_.out[4])
        call_.out[4][at] = log_softmax(logits_, probs_, first_arm, s_.A, call_.arms[at]);
    });
  }

  // Gradients of sum(cotangent * outputs) by the weights, added to the layers' grads.
  void reverse(i64 task, i64 first) {
    const i64 rows = steps_ * R_;
    d_hidden_ = arena_.matrix<T>(rows, Hp_, D);
    d_level_ = arena_.matrix<T>(rows, Lp_, D), d_value_ = arena_.matrix<T>(rows, W<T>, false);
    d_logit_ = arena_.matrix<T>(rows, LAp_, D);
    d_units_ = arena_.matrix<T>(CHUNK, Pp_, D), d_target_ = arena_.matrix<T>(CHUNK, Lp_, D);
    if (s_.forecast == SHARED) {
      d_arm_ = arena_.matrix<T>(CHUNK * s_.A, Lp_, D);
      d_arm_units_ = arena_.matrix<T>(CHUNK * s_.A, Sp_, D);
      d_common_ = arena_.matrix<T>(CHUNK, Sp_, D);
    }
    const Mat<T> to[3] = {d_level_, d_value_, d_logit_};
    for (const Mat<T>& each : to) clear(each, rows);
    for_each_row(task, first, [&](i64 q, i64 at) {
      for (int k = 0; k < 3; ++k)
        if (call_.cotangent[k])
          std::copy_n(call_.cotangent[k] + at * width(k), width(k), to[k].v + q * to[k].ld);
      const i64 level = call_.levels[at], first_arm = q * LAp_ + level * s_.A;
      if (const T* push = call_.cotangent[3])
        reverse_log_softmax(d_level_, level_probs_, q * Lp_, s_.L, level, push[at]);
      if (const T* push = call_.cotangent[4])
        reverse_log_softmax(d_logit_, probs_, first_arm, s_.A, call_.arms[at], push[at]);
    });
    for (i64 q = 0; q < rows; q += CHUNK) reverse_heads(q, std::min(q + CHUNK, rows));
    if (wants(IH) || wants(HH)) reverse_recurrence();
  }
  void start_grads() {
    for (i64 k = 0; k < LAYERS; ++k) {
      Layer<T>& layer = layers_[k];
      if (call_.grad[2 * k]) layer.grad = arena_.take<T>(layer.out_p * layer.in_p);
      if (call_.grad[2 * k + 1]) layer.grad_bias = arena_.take<T>(layer.out_p);
      if (layer.grad) std::fill_n(layer.grad, layer.out_p * layer.in_p, T(0));
      if (layer.grad_bias) std::fill_n(layer.grad_bias, layer.out_p, T(0));
    }
  }
  void write_grads(i64 task) {
    for (i64 k = 0; k < LAYERS; ++k) {
      const Layer<T>& layer = layers_[k];
      T *weight = call_.grad[2 * k], *bias = call_.grad[2 * k + 1];
      layer.unpack(weight ? weight + task * layer.out * layer.in : nullptr,
                   bias ? bias + task * layer.out : nullptr);
    }
  }

 private:
  Mat<T> row(i64 q, i64 col) const { return z_.at(q + R_, col); }
  bool wants(i64 k) const { return call_.grad[2 * k] || call_.grad[2 * k + 1]; }

  void shape_layers() {
    const i64 H = s_.H, F = s_.F(), about = s_.G + s_.per_arm, forecasts = s_.forecast ? s_.L : 0;
    target_col_ = pad<T>(Hp_ + about);
    auto after_hidden = [&](Layer<T>& layer) {  // inputs [h, x]: h is padded
      for (i64 i = H; i < layer.in; ++i) layer.col[i] += Hp_ - H;
    };
    layers_[IH].shape(3 * H, F), layers_[HH].shape(3 * H, H);
    for (i64 o = 0; o < 3 * H; ++o) {  // torch's order is r, z, n
      layers_[HH].row[o] = o / H * Hp_ + o % H;
      layers_[IH].row[o] = (o / H + 1) % 3 * Hp_ + o % H;  // n, r, z
    }
    if (s_.forecast == LINEAR) {
      layers_[COMMON].shape(s_.L * s_.A, H + F);
      after_hidden(layers_[COMMON]);
    } else if (s_.forecast == SHARED) {
      layers_[COMMON].shape(s_.S, H + s_.G);
      after_hidden(layers_[COMMON]);
      layers_[ARM].shape(s_.S, s_.per_arm), layers_[OUT].shape(s_.L, s_.S);
    }
    for (i64 k : {POLICY_IN, CRITIC_IN}) {
      if (k == CRITIC_IN && !s_.critic) continue;
      layers_[k].shape(s_.P, H + about + forecasts);
      after_hidden(layers_[k]);
      for (i64 u = 0; u < forecasts; ++u) layers_[k].col[H + about + u] = target_col_ + u;
      layers_[k + 1].shape(k == POLICY_IN ? s_.L : 1, s_.P);
    }
  }
  void load_layer(i64 k, i64 task) {
    Layer<T>& layer = layers_[k];
    if (!call_.weight[2 * k]) return;
    layer.fit();
    const bool tangent = D && (call_.tangent[2 * k] || call_.tangent[2 * k + 1]);
    layer.allocate(arena_, tangent, D);
    auto pick = [&](const T* const* from, const i64* strides, i64 i) {
      return from[i] ? from[i] + task * strides[i] : nullptr;
    };
    layer.pack(pick(call_.weight, call_.weight_stride, 2 * k), layer.by_in.v, layer.by_out.v);
    if (const T* bias = pick(call_.weight, call_.weight_stride, 2 * k + 1))
      layer.pack_bias(bias, layer.bias.v);
    if constexpr (D) {
      if (const T* weight = pick(call_.tangent, call_.tangent_stride, 2 * k))
        layer.pack(weight, layer.by_in.d, layer.by_out.d);
      if (const T* bias = pick(call_.tangent, call_.tangent_stride, 2 * k + 1))
        layer.pack_bias(bias, layer.bias.d);
    }
  }

  void clear(Mat<T> m, i64 rows) {
    std::fill_n(m.v, rows * m.ld, T(0));
    if (m.d) std::fill_n(m.d, rows * m.ld, T(0));
  }
  void fill(Mat<T> m, i64 rows, Mat<T> bias, i64 width) {
    for (i64 r = 0; r < rows; ++r)
      for (i64 j = 0; j < width; j += W<T>) store(m, r * m.ld + j, load<D>(bias, j));
  }
  void affine(i64 k, i64 n, Mat<T> input, i64 depth, Mat<T> output) {
    fill(output, n, layers_[k].bias, layers_[k].out_p);
    add_product<D>(n, layers_[k].out_p, depth, input, layers_[k].by_in, output);
  }
  // tanh(W [h, what it sees of the features, the forecasts of the target] + b)
  void dense_tanh(i64 k, i64 q0, i64 n, Mat<T> target, Mat<T> output) {
    const Mat<T> to = output.at(q0, 0);
    affine(k, n, row(q0, 0), seen_, to);
    if (target.v)
      add_product<D>(n, Pp_, s_.L, target, layers_[k].by_in.at(target_col_, 0), to);
    for (i64 i = 0; i < n * Pp_; i += W<T>) store(to, i, tangent_h(load<D>(to, i)));
  }

  void forecast(i64 q0, i64 q1) {
    const i64 n = q1 - q0, A = s_.A, L = s_.L;
    if (s_.forecast == LINEAR) {
      affine(COMMON, n, row(q0, 0), Hp_ + s_.F(), logits_.at(q0, 0));
    } else {
      affine(COMMON, n, row(q0, 0), Hp_ + s_.G, common_);
      const Mat<T> units = units_.at(q0 * A, 0), arms = collect_arms(q0, n);
      for (i64 i = 0; i < n; ++i) fill(units.at(i * A, 0), A, common_.at(i, 0), Sp_);
      add_product<D>(n * A, Sp_, s_.per_arm, arms, layers_[ARM].by_in, units);
      for (i64 j = 0; j < n * A * Sp_; j += W<T>) store(units, j, tangent_h(load<D>(units, j)));
      clear(by_arm_, n * A);
      add_product<D>(n * A, Lp_, s_.S, units, layers_[OUT].by_in, by_arm_);
      for (i64 i = 0; i < n; ++i)
        for (i64 u = 0; u < L; ++u)
          for (i64 a = 0; a < A; ++a)
            put(logits_, (q0 + i) * LAp_ + u * A + a, get<D>(by_arm_, (i * A + a) * Lp_ + u));
    }
    for (i64 q = q0; q < q1; ++q)
      for (i64 u = 0; u < L; ++u) {
        soften(logits_, probs_, q * LAp_ + u * A, A);
        put(target_, q * Lp_ + u, get<D>(probs_, q * LAp_ + u * A));
      }
  }
  // The arms' features of n rows, one arm a row, without a gap.
  Mat<T> collect_arms(i64 q0, i64 n) {
    const i64 size = s_.A * s_.per_arm;
    for (i64 i = 0; i < n; ++i) std::copy_n(row(q0 + i, Hp_ + s_.G).v, size, arms_.v + i * size);
    return arms_;
  }
  // Softmax of `count` numbers from `at` on: p' = p (l' - sum p l').
  void soften(Mat<T> logits, Mat<T> probs, i64 at, i64 count) {
    const T* l = logits.v + at;
    T *p = probs.v + at, top = *std::max_element(l, l + count), total = 0;
    for (i64 i = 0; i < count; ++i) p[i] = l[i] - top;
    // whole vectors: what lies behind is padding, or comes later
    for (i64 i = 0; i < count; i += W<T>) exponential(Vec<T>::loadu(p + i)).store(p + i);
    for (i64 i = 0; i < count; ++i) total += p[i];
    for (i64 i = 0; i < count; ++i) p[i] /= total;
    if constexpr (D) {
      const T mean = std::inner_product(p, p + count, logits.d + at, T(0));
      for (i64 i = 0; i < count; ++i) probs.d[at + i] = p[i] * (logits.d[at + i] - mean);
    }
  }
  // Entry `index` of the log-softmax, or with D its tangent l'_i - sum p l'.
  static T log_softmax(Mat<T> logits, Mat<T> probs, i64 at, i64 count, i64 index) {
    const T *l = logits.v + at, *p = probs.v + at;
    if constexpr (D)
      return logits.d[at + index] - std::inner_product(p, p + count, logits.d + at, T(0));
    const i64 top = std::max_element(l, l + count) - l;
    return l[index] - l[top] + std::log(p[top]);  // the largest has no small probability
  }
  // dl_i += push (1[i = index] - p_i)
  static void reverse_log_softmax(Mat<T> d, Mat<T> probs, i64 at, i64 count, i64 index, T push) {
    for (i64 i = 0; i < count; ++i) {
      d.v[at + i] += push * ((i == index) - probs.v[at + i]);
      if constexpr (D) d.d[at + i] -= push * probs.d[at + i];
    }
  }

  // Numbers of the first three outputs in a row.
  i64 width(int k) const { return k == 0 ? s_.L : k == 1 ? 1 : s_.L * s_.A; }
  // Visits the rows with their places in the layout of the caller, [M, B, T].
  template <class Visit>
  void for_each_row(i64 task, i64 first, Visit visit) {
    for (i64 t = 0; t < steps_; ++t)
      for (i64 r = 0; r < R_; ++r) visit(t * R_ + r, (task * s_.B + first + r) * s_.T + t);
  }

  void add_grad(i64 k, i64 n, Mat<T> delta, Mat<T> input, i64 width, i64 col = 0) {
    Layer<T>& layer = layers_[k];
    if (layer.grad) add_outer<D>(layer.rows, width, n, delta, input, layer.grad + col, layer.in_p);
  }
  void add_bias_grad(i64 k, i64 n, Mat<T> delta) {
    Layer<T>& layer = layers_[k];
    const T* from = D ? delta.d : delta.v;
    if (!layer.grad_bias || !from) return;
    for (i64 q = 0; q < n; ++q)
      for (i64 i = 0; i < layer.out_p; i += W<T>)
        (Vec<T>::loadu(layer.grad_bias + i) + Vec<T>::loadu(from + q * delta.ld + i))
            .store(layer.grad_bias + i);
  }

  // Back through out(tanh(in(z, forecasts))): adds to d_hidden_ and d_target_.
  void reverse_head(i64 k, i64 q0, i64 n, Mat<T> d_out, Mat<T> units) {
    const Mat<T> hidden = units.at(q0, 0);
    clear(d_units_, n);
    add_product<D>(n, Pp_, layers_[k + 1].out, d_out, layers_[k + 1].by_out, d_units_);
    for (i64 i = 0; i < n * Pp_; i += W<T>) {
      const auto unit = load<D>(hidden, i);
      store(d_units_, i, load<D>(d_units_, i) * one_minus(unit * unit));
    }
    add_grad(k + 1, n, d_out, hidden, layers_[k + 1].in_p), add_bias_grad(k + 1, n, d_out);
    add_grad(k, n, d_units_, row(q0, 0), target_col_), add_bias_grad(k, n, d_units_);
    add_product<D>(n, Hp_, Pp_, d_units_, layers_[k].by_out, d_hidden_.at(q0, 0));
    if (s_.forecast) {
      add_grad(k, n, d_units_, target_.at(q0, 0), Lp_, target_col_);
      add_product<D>(n, Lp_, Pp_, d_units_, layers_[k].by_out.at(0, target_col_), d_target_);
    }
  }
  void reverse_heads(i64 q0, i64 q1) {
    const i64 n = q1 - q0;
    clear(d_hidden_.at(q0, 0), n), clear(d_target_, n);
    if (call_.cotangent[0] || call_.cotangent[3])
      reverse_head(POLICY_IN, q0, n, d_level_.at(q0, 0), policy_);
    if (s_.critic && call_.cotangent[1]) reverse_head(CRITIC_IN, q0, n, d_value_.at(q0, 0), critic_);
    if (!s_.forecast) return;
    const i64 A = s_.A;
    for (i64 i = 0; i < n; ++i)  // softmax: dl_a += p_a (1[a = 0] - p_0) dp_0
      for (i64 u = 0; u < s_.L; ++u) {
        const auto from = get<D>(d_target_, i * Lp_ + u), chance = get<D>(target_, (q0 + i) * Lp_ + u);
        const auto pushed = chance * from;
        for (i64 a = 0; a < A; ++a) {
          const i64 at = (q0 + i) * LAp_ + u * A + a;
          auto d = get<D>(d_logit_, at) - get<D>(probs_, at) * pushed;
          if (a == 0) d = d + pushed;
          put(d_logit_, at, d);
        }
      }
    if (s_.forecast == LINEAR) {
      const Mat<T> delta = d_logit_.at(q0, 0);
      add_grad(COMMON, n, delta, row(q0, 0), layers_[COMMON].in_p), add_bias_grad(COMMON, n, delta);
      add_product<D>(n, Hp_, s_.L * A, delta, layers_[COMMON].by_out, d_hidden_.at(q0, 0));
    } else {
      reverse_shared(q0, n);
    }
  }
  void reverse_shared(i64 q0, i64 n) {
    const i64 A = s_.A;
    clear(d_arm_, n * A), clear(d_arm_units_, n * A);
    for (i64 i = 0; i < n; ++i)
      for (i64 u = 0; u < s_.L; ++u)
        for (i64 a = 0; a < A; ++a)
          put(d_arm_, (i * A + a) * Lp_ + u, get<D>(d_logit_, (q0 + i) * LAp_ + u * A + a));
    const Mat<T> units = units_.at(q0 * A, 0);
    add_product<D>(n * A, Sp_, s_.L, d_arm_, layers_[OUT].by_out, d_arm_units_);
    add_grad(OUT, n * A, d_arm_, units, Sp_);
    for (i64 j = 0; j < n * A * Sp_; j += W<T>) {
      const auto unit = load<D>(units, j);
      store(d_arm_units_, j, load<D>(d_arm_units_, j) * one_minus(unit * unit));
    }
    add_grad(ARM, n * A, d_arm_units_, collect_arms(q0, n), layers_[ARM].in_p);
    for (i64 i = 0; i < n; ++i)
      for (i64 j = 0; j < Sp_; j += W<T>) {
        auto sum = load<D>(d_arm_units_, i * A * Sp_ + j);
        for (i64 a = 1; a < A; ++a) sum = sum + load<D>(d_arm_units_, (i * A + a) * Sp_ + j);
        store(d_common_, i * Sp_ + j, sum);
      }
    add_grad(COMMON, n, d_common_, row(q0, 0), layers_[COMMON].in_p);
    add_bias_grad(COMMON, n, d_common_);
    add_product<D>(n, Hp_, s_.S, d_common_, layers_[COMMON].by_out, d_hidden_.at(q0, 0));
  }
  // Back in time; gates_ becomes the gradients by the projections n, r, z and by W_n h + b_n.
  void reverse_recurrence() {
    const Mat<T> carry = arena_.matrix<T>(R_, Hp_, D);
    clear(carry, R_);
    for (i64 t = steps_ - 1; t >= 0; --t) {
      for (i64 r = 0; r < R_; ++r) {
        const i64 q = t * R_ + r;
        const Mat<T> gate = gates_.at(q, 0), before = row(q - R_, 0), back = carry.at(r, 0);
        for (i64 j = 0; j < Hp_; j += W<T>) {
          const auto n = load<D>(gate, j), reset = load<D>(gate, Hp_ + j);
          const auto z = load<D>(gate, 2 * Hp_ + j), inner = load<D>(gate, 3 * Hp_ + j);
          const auto dh = load<D>(d_hidden_, q * Hp_ + j) + load<D>(back, j);
          const auto dn = dh * one_minus(z) * one_minus(n * n);
          const auto dz = dh * (load<D>(before, j) - n) * z * one_minus(z);
          const auto dr = dn * inner * reset * one_minus(reset);
          store(gate, j, dn), store(gate, Hp_ + j, dr), store(gate, 2 * Hp_ + j, dz);
          store(gate, 3 * Hp_ + j, dn * reset), store(back, j, dh * z);
        }
      }
      if (t) add_product<D>(R_, Hp_, 3 * Hp_, gates_.at(t * R_, Hp_), layers_[HH].by_out, carry);
    }
    const i64 rows = steps_ * R_;
    add_grad(IH, rows, gates_, row(0, Hp_).constant(), layers_[IH].in_p);
    add_grad(HH, rows, gates_.at(0, Hp_), row(-R_, 0), Hp_);
    add_bias_grad(IH, rows, gates_), add_bias_grad(HH, rows, gates_.at(0, Hp_));
  }

  const Call<T>& call_;
  const Sizes s_;
  const i64 steps_;
  Arena& arena_;
  i64 R_ = 0, Hp_, Lp_, Sp_, Pp_, LAp_, seen_, target_col_;
  Layer<T> layers_[LAYERS];
  Mat<T> z_;  // [h, x], with R rows of the zero state in front
  Mat<T> gates_, recurrent_, policy_, levels_, level_probs_, critic_, values_;
  Mat<T> logits_, probs_, target_, units_, common_, by_arm_, arms_;
  Mat<T> d_hidden_, d_level_, d_value_, d_logit_, d_units_, d_target_;
  Mat<T> d_arm_, d_arm_units_, d_common_;
};

constexpr i64 MAX_EPISODES = 16;  // played side by side; bounds a thread's workspace

template <class T, bool D>
void think(const Call<T>& call, i64 num_threads, bool gradients) {
  for_each_task(call.s.M, num_threads, [&](i64 task, Arena& arena) {
    const i64 most = std::min(call.s.B, MAX_EPISODES);
    Network<T, D> network(call, arena, task, call.s.T, most);
    if (gradients) network.start_grads();
    const Arena::Mark mark = arena.mark();
    for (i64 first = 0; first < call.s.B; first += most) {
      arena.back_to(mark);
      network.begin(std::min(most, call.s.B - first));
      network.forward(task, first);
      network.write_outputs(task, first);
      if (gradients) network.reverse(task, first);
    }
    if (gradients) network.write_grads(task);
  });
}

// ---- the game ------------------------------------------------------------------------------

enum HistoryName : i64 { LAST_STEP = 0, TALLIES = 1 };
enum Rule : i64 { UCB, EPSILON_GREEDY, GAUSSIAN_THOMPSON, SOFTMAX, EXP3, BEST_RESPONSE };
enum Principal : i64 { SAMPLING, GREEDY, GIVEN, ORACLE };

// What turns the past into features: history.py.
template <class T>
struct HistoryCall {
  i64 kind, sees_rewards;
  const T* bonuses;  // [L]
};

// Functions of whole numbers up to the horizon, divided as the features want them.
template <class T>
struct Tables {
  std::vector<T> log_pulls, log_waiting, log_left, uncertainty;
  explicit Tables(i64 horizon) {
    const T scale = std::log1p(double(horizon));
    for (i64 n = 0; n <= horizon + 1; ++n) {
      const T at_least_one = std::max<i64>(n, 1);
      log_pulls.push_back(std::log1p(T(n)) / scale);
      log_waiting.push_back(std::log(at_least_one) / scale);
      log_left.push_back(std::log(T(std::max<i64>(horizon + 1 - n, 1))) / scale);
      uncertainty.push_back(T(1) / std::sqrt(at_least_one));
    }
  }
};

template <class T>
class Past {
 public:
  Past(const Sizes& sizes, const HistoryCall<T>& how, const Tables<T>& tables)
      : s_(sizes), how_(how), tables_(tables), pulls_(s_.A), latest_(s_.A), sums_(s_.A) {}

  void add(i64 arm, i64 level, T reward) {
    const T offered = how_.bonuses[level];
    last_arm_ = arm, last_level_ = level, last_reward_ = reward;
    latest_[arm] = ++step_;
    ++pulls_[arm];
    sums_[arm] += reward;
    offered_ += offered;
    if (arm == 0) paid_ += offered;
  }
  void write(T* x) const {
    const T horizon = s_.T;
    for (i64 u = 0; u < s_.L; ++u) *x++ = u == last_level_;
    *x++ = T(step_) / horizon;
    if (how_.kind == TALLIES) {
      *x++ = tables_.log_left[step_];
      *x++ = paid_ / horizon, *x++ = offered_ / horizon;
      *x++ = paid_ / std::max<T>(pulls_[0], 1);
    }
    if (how_.sees_rewards) *x++ = last_reward_;
    for (i64 a = 0; a < s_.A; ++a) {
      *x++ = a == last_arm_;
      if (how_.kind == LAST_STEP) continue;
      const T pulls = pulls_[a], time = step_ + 1, waiting = time - latest_[a];
      *x++ = a == 0;
      *x++ = tables_.log_pulls[pulls_[a]], *x++ = pulls / time, *x++ = tables_.uncertainty[pulls_[a]];
      *x++ = tables_.log_waiting[step_ + 1 - latest_[a]];
      *x++ = std::min(waiting * pulls / (4 * time), T(1));
      if (how_.sees_rewards) *x++ = sums_[a] / std::max(pulls, T(1));
    }
  }

 private:
  const Sizes& s_;
  const HistoryCall<T>& how_;
  const Tables<T>& tables_;
  i64 step_ = 0, last_arm_ = -1, last_level_ = -1;
  T last_reward_ = 0, paid_ = 0, offered_ = 0;
  std::vector<i64> pulls_, latest_;
  std::vector<T> sums_;
};

template <class T>
struct FeatureCall {
  Sizes s;
  HistoryCall<T> history;
  const i64 *arms, *levels;  // [M, B, T], what the principal saw and did
  const T* rewards;          // [M, B, T]
  T* out;                    // [M, B, T, F]
};

template <class T>
void encode(const FeatureCall<T>& call, i64 num_threads) {
  const Tables<T> tables(call.s.T);
  for_each_task(call.s.M, num_threads, [&](i64 task, Arena&) {
    for (i64 b = 0; b < call.s.B; ++b) {
      Past<T> past(call.s, call.history, tables);
      for (i64 t = 0; t < call.s.T; ++t) {
        const i64 at = (task * call.s.B + b) * call.s.T + t;
        past.write(call.out + at * call.s.F());
        past.add(call.arms[at], call.levels[at], call.rewards[at]);
      }
    }
  });
}

template <class T>
struct GameCall {
  HistoryCall<T> history;
  i64 principal;
  const T* principal_draws;      // [M, B, T] uniform; sampling only
  const i64* given;              // [M, B, T] levels of a schedule
  const T* budget;               // [M] of the oracle, reward units
  const i64* fixed_level;        // [M] of the oracle, -1 for none
  const T* base_rewards;         // [M, A]
  const i64* target;             // [M]
  const i64* rule;               // [M]
  const T* parameters;           // [M, 3] hyper-parameters of the rule, in its order
  const T* const* agent_draws;   // [M] pointers to [B or 1, T, num_draws]
  const i64* num_draws;          // [M]
  i64 shared_draws;              // whether the agent's and reward's draws are those of one episode
  i64 bernoulli;                 // whether reward_draws are uniform numbers, not noise to be added
  const T* reward_draws;         // [M, B or 1, T]
  double arm_flip;
  const T* flip_draws;           // [M, B, T, 3] uniform; null if arm_flip is 0
  const T* seen_noise;           // [M, B, T] to be added to the reward seen, or null
  i64 *arms, *levels, *seen_arms;         // [M, B, T]
  T *agent_rewards, *seen_rewards;        // [M, B, T]
};

// One agent in one episode: agents/*.py.
template <class T>
class Agent {
 public:
  Agent(const GameCall<T>& game, i64 task, i64 num_arms)
      : rule_(game.rule[task]), A_(num_arms), target_(game.target[task]),
        base_(game.base_rewards + task * num_arms), p_(game.parameters + task * 3),
        counts_(num_arms), sums_(num_arms) {
    if (rule_ == EXP3) std::fill(sums_.begin(), sums_.end(), -std::log(T(A_)));
  }

  i64 act(T bonus, const T* draws) const {
    const T infinity = std::numeric_limits<T>::infinity();
    switch (rule_) {
      case UCB: {
        const T log_t = std::log(double(step_));
        return best(draws, [&](i64 a) {
          return counts_[a] ? mean(a) + p_[0] * std::sqrt(log_t / counts_[a]) : infinity;
        });
      }
      case EPSILON_GREEDY: {
        const bool explores = draws[0] < p_[0] / (1 + p_[1] * (step_ - 1));
        return best(draws + 1, [&](i64 a) { return explores ? 0 : counts_[a] ? mean(a) : infinity; });
      }
      case SOFTMAX:
        return best(draws, [&](i64 a) {
          return counts_[a] ? mean(a) - p_[0] * std::log(-std::log(draws[a])) : infinity;
        });
      case GAUSSIAN_THOMPSON: {  // its draws are normal
        const T prior_pulls = (p_[2] / p_[1]) * (p_[2] / p_[1]);
        return best(nullptr, [&](i64 a) {
          const T pulls = counts_[a] + prior_pulls;
          return (sums_[a] + prior_pulls * p_[0]) / pulls + p_[2] / std::sqrt(pulls) * draws[a];
        });
      }
      case EXP3: {
        T cumulative = 0;
        i64 arm = 0;
        for (i64 a = 0; a + 1 < A_; ++a) arm += (cumulative += probability(a)) <= draws[0];
        return arm;
      }
      default: {  // best response; ties, within a tolerance, go to the principal
        T top = -infinity;
        auto value = [&](i64 a) { return base_[a] + (a == target_ ? bonus : 0); };
        for (i64 a = 0; a < A_; ++a) top = std::max(top, value(a));
        top -= T(1e-6);
        if (value(target_) >= top) return target_;
        i64 arm = 0;
        while (value(arm) < top) ++arm;
        return arm;
      }
    }
  }
  void learn(i64 arm, T reward) {
    ++step_;
    if (rule_ == EXP3) {
      const T gain = std::clamp((reward - p_[1]) / (p_[2] - p_[1]), T(0), T(1));
      sums_[arm] += p_[0] / A_ * gain / probability(arm);
      const T top = *std::max_element(sums_.begin(), sums_.end());
      T total = 0;
      for (T weight : sums_) total += std::exp(weight - top);
      for (T& weight : sums_) weight -= top + std::log(total);
    } else {
      ++counts_[arm];
      sums_[arm] += reward;
    }
  }

 private:
  T mean(i64 a) const { return sums_[a] / counts_[a]; }
  T probability(i64 a) const { return (1 - p_[0]) * std::exp(sums_[a]) + p_[0] / A_; }
  // The arm with the largest value, and among equals the largest draw.
  template <class Value>
  i64 best(const T* draws, Value value) const {
    i64 arm = 0;
    T top = value(0);
    for (i64 a = 1; a < A_; ++a) {
      const T next = value(a);
      if (next > top || (draws && next == top && draws[a] > draws[arm])) arm = a, top = next;
    }
    return arm;
  }

  const i64 rule_, A_, target_;
  const T *base_, *p_;
  std::vector<T> counts_, sums_;  // pulls and reward sums; for EXP3 sums_ are log weights
  i64 step_ = 1;
};

template <class T>
i64 choose(const GameCall<T>& game, const T* logits, i64 L, T draw) {
  if (game.principal == GREEDY) return std::max_element(logits, logits + L) - logits;
  const T top = *std::max_element(logits, logits + L);
  T total = 0, cumulative = 0;
  for (i64 u = 0; u < L; ++u) total += std::exp(logits[u] - top);
  i64 level = 0;
  for (i64 u = 0; u + 1 < L; ++u)
    level += draw > (cumulative += std::exp(logits[u] - top) / total);
  return level;
}

template <class T>
void play(const Call<T>& call, const GameCall<T>& game, i64 num_threads) {
  const Sizes& s = call.s;
  const Tables<T> tables(s.T);
  const bool thinks = game.principal == SAMPLING || game.principal == GREEDY;
  for_each_task(s.M, num_threads, [&](i64 task, Arena& arena) {
    const i64 most = std::min(s.B, MAX_EPISODES), target = game.target[task];
    std::unique_ptr<Network<T, false>> network;
    if (thinks) network = std::make_unique<Network<T, false>>(call, arena, task, 1, most);
    for (i64 first = 0; first < s.B; first += most) {
      const i64 R = std::min(most, s.B - first);
      std::vector<Past<T>> pasts(thinks ? R : 0, Past<T>(s, game.history, tables));
      std::vector<Agent<T>> agents(R, Agent<T>(game, task, s.A));
      std::vector<T> budget(R, game.budget ? game.budget[task] : 0);
      if (thinks) network->begin(R);
      for (i64 t = 0; t < s.T; ++t) {
        if (thinks) {
          for (i64 r = 0; r < R; ++r) pasts[r].write(network->features(r));
          network->project(0, R), network->recur(0), network->heads(0, R, false);
          network->keep_last_state();
        }
        for (i64 r = 0; r < R; ++r) {
          const i64 at = (task * s.B + first + r) * s.T + t;
          const i64 draw = game.shared_draws ? task * s.T + t : at;  // [M, B or 1, T]
          const i64 own = (game.shared_draws ? 0 : first + r) * s.T + t, K = game.num_draws[task];
          const T* draws = game.agent_draws[task] + own * K;
          i64 level = 0;
          if (thinks) {
            const T uniform = game.principal == SAMPLING ? game.principal_draws[at] : T(0);
            level = choose(game, network->level_logits(r), s.L, uniform);
          } else if (game.principal == GIVEN) {
            level = game.given[at];
          } else {  // pays only for pulls of the target, while the budget lasts
            const bool pays = budget[r] > 0 && agents[r].act(0, draws) == target;
            level = game.fixed_level[task] >= 0 ? game.fixed_level[task] : pays ? s.L - 1 : 0;
            budget[r] -= game.history.bonuses[level];
          }
          const T bonus = game.history.bonuses[level];
          const i64 arm = agents[r].act(bonus, draws);
          const T mean = game.base_rewards[task * s.A + arm], luck = game.reward_draws[draw];
          T reward = game.bernoulli ? T(luck < mean) : mean + luck;
          if (arm == target) reward += bonus;
          agents[r].learn(arm, reward);
          i64 seen = arm;
          if (game.arm_flip > 0 && game.flip_draws[at * 3] < T(game.arm_flip)) {
            const i64 shift = game.flip_draws[at * 3 + 1] * (s.A - 1);
            seen = (arm + 1 + std::min(shift, s.A - 2)) % s.A;
          }
          seen = seen == target ? 0 : seen == 0 ? target : seen;  // principal labels
          T seen_reward = game.history.sees_rewards ? reward : T(0);
          if (game.seen_noise) seen_reward += game.seen_noise[at];
          if (thinks) pasts[r].add(seen, level, seen_reward);
          game.arms[at] = arm, game.levels[at] = level, game.seen_arms[at] = seen;
          game.agent_rewards[at] = reward, game.seen_rewards[at] = seen_reward;
        }
      }
    }
  });
}

}  // namespace

#define EXPORT(TYPE, SUFFIX)                                                                     \
  extern "C" void think_##SUFFIX(const Call<TYPE>* call, i64 threads) {                          \
    think<TYPE, false>(*call, threads, false);                                                   \
  }                                                                                              \
  extern "C" void think_backward_##SUFFIX(const Call<TYPE>* call, i64 threads) {                 \
    think<TYPE, false>(*call, threads, true);                                                    \
  }                                                                                              \
  extern "C" void think_double_backward_##SUFFIX(const Call<TYPE>* call, i64 threads) {          \
    think<TYPE, true>(*call, threads, true);                                                     \
  }                                                                                              \
  extern "C" void encode_##SUFFIX(const FeatureCall<TYPE>* call, i64 threads) {                  \
    encode<TYPE>(*call, threads);                                                                \
  }                                                                                              \
  extern "C" void play_##SUFFIX(const Call<TYPE>* call, const GameCall<TYPE>* game, i64 threads) { \
    play<TYPE>(*call, *game, threads);                                                           \
  }
EXPORT(float, float32)
EXPORT(double, float64)
