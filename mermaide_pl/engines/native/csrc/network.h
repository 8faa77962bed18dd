// The principal's network: forward, and back with or without tangents.

#pragma once

#include "dual.h"

namespace mermaide {

// Weights of one task, padded and laid out for the products.
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
  Network(const NetworkCall<T>& call, Arena& arena, i64 task, i64 steps, i64 max_rows)
      : call_(call), s_(call.sizes), steps_(steps), arena_(arena) {
    Hp_ = pad<T>(s_.H);
    Lp_ = pad<T>(s_.L), Sp_ = pad<T>(s_.S), Pp_ = pad<T>(s_.P), Cp_ = pad<T>(s_.C), LAp_ = pad<T>(s_.L * s_.A);
    seen_ = Hp_ + s_.G + s_.per_arm;  // columns of z_ that policy and critic read
    const i64 zs = pad<T>(Hp_ + s_.F()) + W<T>, rows = steps * max_rows;
    shape_layers();
    for (i64 k = 0; k < START; ++k) load_layer(k, task);
    layers_[START].out_p = Hp_;
    start_ = bias_of(call.weight, call.weight_stride, START, task);
    start_tangent_ = bias_of(call.tangent, call.tangent_stride, START, task);
    z_ = arena.matrix<T>(rows + max_rows, zs, D);
    gates_ = arena.matrix<T>(rows, 4 * Hp_, D);
    recurrent_ = arena.matrix<T>(max_rows, 3 * Hp_, D);
    policy_ = arena.matrix<T>(rows, Pp_, D);
    levels_ = arena.matrix<T>(rows, Lp_, D), level_probs_ = arena.matrix<T>(rows, Lp_, D);
    if (s_.critic) critic_ = arena.matrix<T>(rows, Cp_, D), values_ = arena.matrix<T>(rows, W<T>, D);
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

  // Start R episodes.
  void begin(i64 episodes) {
    R_ = episodes;
    clear(z_, R_);
    for (i64 r = 0; r < R_; ++r) {
      if (start_) std::copy_n(start_, s_.H, z_.v + r * z_.ld);
      if (D && start_tangent_) std::copy_n(start_tangent_, s_.H, z_.d + r * z_.ld);
    }
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
    add_product<D>(q1 - q0, 3 * Hp_, s_.I, row(q0, Hp_).constant(), layer.by_in, gates_.at(q0, 0));
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
  void keep_last_state() {  // for the next step: a network of one step
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
      affine(CRITIC_OUT, n, critic_.at(q0, 0), s_.C, values_.at(q0, 0));
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
      if (T* out = call_.out[LOG_LEVELS])
        out[at] = log_softmax(levels_, level_probs_, q * Lp_, s_.L, level);
      if (T* out = call_.out[LOG_ARMS])
        out[at] = log_softmax(logits_, probs_, first_arm, s_.A, call_.arms[at]);
    });
    if (T* out = call_.out[LAST_STATE])
      for (i64 r = 0; r < R_; ++r) {
        const Mat<T> last = row((steps_ - 1) * R_ + r, 0);
        std::copy_n(D ? last.d : last.v, s_.H, out + (task * s_.B + first + r) * s_.H);
      }
  }

  // Gradients of sum(cotangent * outputs) by the weights, added to the layers' grads.
  void reverse(i64 task, i64 first) {
    const i64 rows = steps_ * R_;
    d_hidden_ = arena_.matrix<T>(rows, Hp_, D);
    d_level_ = arena_.matrix<T>(rows, Lp_, D), d_value_ = arena_.matrix<T>(rows, W<T>, false);
    d_logit_ = arena_.matrix<T>(rows, LAp_, D);
    d_units_ = arena_.matrix<T>(CHUNK, std::max(Pp_, Cp_), D), d_target_ = arena_.matrix<T>(CHUNK, Lp_, D);
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
      if (const T* push = call_.cotangent[LOG_LEVELS])
        reverse_log_softmax(d_level_, level_probs_, q * Lp_, s_.L, level, push[at]);
      if (const T* push = call_.cotangent[LOG_ARMS])
        reverse_log_softmax(d_logit_, probs_, first_arm, s_.A, call_.arms[at], push[at]);
    });
    for (i64 q = 0; q < rows; q += CHUNK) reverse_heads(q, std::min(q + CHUNK, rows));
    if (const T* push = call_.cotangent[LAST_STATE])
      for (i64 r = 0; r < R_; ++r) {
        T* to = d_hidden_.v + ((steps_ - 1) * R_ + r) * Hp_;
        for (i64 j = 0; j < s_.H; ++j) to[j] += push[(task * s_.B + first + r) * s_.H + j];
      }
    if (wants(IH) || wants(HH) || wants(START)) reverse_recurrence();
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
    layers_[IH].shape(3 * H, s_.I), layers_[HH].shape(3 * H, H), layers_[START].shape(H, 0);
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
      const i64 units = k == POLICY_IN ? s_.P : s_.C;
      layers_[k].shape(units, H + about + forecasts);
      after_hidden(layers_[k]);
      for (i64 u = 0; u < forecasts; ++u) layers_[k].col[H + about + u] = target_col_ + u;
      layers_[k + 1].shape(k == POLICY_IN ? s_.L : 1, units);
    }
  }
  static const T* bias_of(const T* const* from, const i64* strides, i64 k, i64 task) {
    return from[2 * k + 1] ? from[2 * k + 1] + task * strides[2 * k + 1] : nullptr;
  }
  void load_layer(i64 k, i64 task) {
    Layer<T>& layer = layers_[k];
    if (!call_.weight[2 * k]) return;
    layer.fit();
    const bool tangent = D && (call_.tangent[2 * k] || call_.tangent[2 * k + 1]);
    layer.allocate(arena_, tangent, D);
    const i64 weight_of_task = task * call_.weight_stride[2 * k];
    layer.pack(call_.weight[2 * k] + weight_of_task, layer.by_in.v, layer.by_out.v);
    if (const T* bias = bias_of(call_.weight, call_.weight_stride, k, task))
      layer.pack_bias(bias, layer.bias.v);
    if constexpr (D) {
      if (const T* weight = call_.tangent[2 * k])
        layer.pack(weight + task * call_.tangent_stride[2 * k], layer.by_in.d, layer.by_out.d);
      if (const T* bias = bias_of(call_.tangent, call_.tangent_stride, k, task))
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
  // tanh(W [h, the features it reads, the forecasts of the target] + b)
  void dense_tanh(i64 k, i64 q0, i64 n, Mat<T> target, Mat<T> output) {
    const Mat<T> to = output.at(q0, 0);
    affine(k, n, row(q0, 0), seen_, to);
    if (target.v)
      add_product<D>(n, to.ld, s_.L, target, layers_[k].by_in.at(target_col_, 0), to);
    for (i64 i = 0; i < n * to.ld; i += W<T>) store(to, i, tangent_h(load<D>(to, i)));
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
    // whole vectors: the numbers behind are padding, or computed later
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
  i64 width(int k) const { return k == LEVEL_LOGITS ? s_.L : k == VALUES ? 1 : s_.L * s_.A; }
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
    const i64 width = units.ld;
    Mat<T> d_units = d_units_;
    d_units.ld = width;
    clear(d_units, n);
    add_product<D>(n, width, layers_[k + 1].out, d_out, layers_[k + 1].by_out, d_units);
    for (i64 i = 0; i < n * width; i += W<T>) {
      const auto unit = load<D>(hidden, i);
      store(d_units, i, load<D>(d_units, i) * one_minus(unit * unit));
    }
    add_grad(k + 1, n, d_out, hidden, layers_[k + 1].in_p), add_bias_grad(k + 1, n, d_out);
    add_grad(k, n, d_units, row(q0, 0), target_col_), add_bias_grad(k, n, d_units);
    add_product<D>(n, Hp_, width, d_units, layers_[k].by_out, d_hidden_.at(q0, 0));
    if (s_.forecast) {
      add_grad(k, n, d_units, target_.at(q0, 0), Lp_, target_col_);
      add_product<D>(n, Lp_, width, d_units, layers_[k].by_out.at(0, target_col_), d_target_);
    }
  }
  void reverse_heads(i64 q0, i64 q1) {
    const i64 n = q1 - q0;
    clear(d_hidden_.at(q0, 0), n), clear(d_target_, n);
    if (call_.cotangent[LEVEL_LOGITS] || call_.cotangent[LOG_LEVELS])
      reverse_head(POLICY_IN, q0, n, d_level_.at(q0, 0), policy_);
    if (s_.critic && call_.cotangent[VALUES])
      reverse_head(CRITIC_IN, q0, n, d_value_.at(q0, 0), critic_);
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
      if (t || wants(START))
        add_product<D>(R_, Hp_, 3 * Hp_, gates_.at(t * R_, Hp_), layers_[HH].by_out, carry);
    }
    const i64 rows = steps_ * R_;
    add_grad(IH, rows, gates_, row(0, Hp_).constant(), layers_[IH].in_p);
    add_grad(HH, rows, gates_.at(0, Hp_), row(-R_, 0), Hp_);
    add_bias_grad(IH, rows, gates_), add_bias_grad(HH, rows, gates_.at(0, Hp_));
    add_bias_grad(START, R_, carry);
  }

  const NetworkCall<T>& call_;
  const Sizes s_;
  const i64 steps_;
  Arena& arena_;
  i64 R_ = 0, Hp_, Lp_, Sp_, Pp_, Cp_, LAp_, seen_, target_col_;
  Layer<T> layers_[LAYERS];
  const T *start_, *start_tangent_;  // null for zero
  Mat<T> z_;  // [h, x], with R rows of the first state in front
  Mat<T> gates_, recurrent_, policy_, levels_, level_probs_, critic_, values_;
  Mat<T> logits_, probs_, target_, units_, common_, by_arm_, arms_;
  Mat<T> d_hidden_, d_level_, d_value_, d_logit_, d_units_, d_target_;
  Mat<T> d_arm_, d_arm_units_, d_common_;
};

constexpr i64 MAX_EPISODES = 16;  // played side by side; bounds a thread's workspace

template <class T, bool D>
void run_network(const NetworkCall<T>& call, i64 num_threads, bool gradients) {
  for_each_task(call.sizes.M, num_threads, [&](i64 task, Arena& arena) {
    const i64 most = std::min(call.sizes.B, MAX_EPISODES);
    Network<T, D> network(call, arena, task, call.sizes.T, most);
    if (gradients) network.start_grads();
    const Arena::Mark mark = arena.mark();
    for (i64 first = 0; first < call.sizes.B; first += most) {
      arena.back_to(mark);
      network.begin(std::min(most, call.sizes.B - first));
      network.forward(task, first);
      network.write_outputs(task, first);
      if (gradients) network.reverse(task, first);
    }
    if (gradients) network.write_grads(task);
  });
}

}  // namespace mermaide
