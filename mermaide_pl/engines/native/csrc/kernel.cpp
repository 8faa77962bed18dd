// The principal's network and the game, fused: each thread takes whole tasks and runs their time
// loops in a workspace of its own, so that neither dispatch nor memory traffic is paid per step.
//
// First and second derivatives share their code. Everything here is written for numbers `Num<V, D>`
// and matrices `Mat<T>` that may carry a tangent (D = true): arithmetic of dual numbers. With D the
// gradient code yields the derivative of the gradient along a direction in weight space, the
// Hessian-vector product that second-order adaptation needs (Pearlmutter, "Fast exact multiplication
// by the Hessian", 1994).
//
// Axes as in trajectory.py: M tasks, B episodes, T steps, A arms, L levels, H hidden units, F features.
// A "row" is one step of one episode. Widths marked `_p` are padded to whole vectors.
// Files: binary_interface.h (the interface shared with Python), vector.h (the processor's vectors),
// dual.h (numbers, matrices, threads), network.h (the principal), game.h (features, agents, rollouts),
// and here the functions that Python calls.

#include "game.h"

using namespace mermaide;

#define EXPORT(TYPE, SUFFIX)                                                                     \
  extern "C" const char* describe_##SUFFIX() {                                                   \
    static const std::string lines = describe<TYPE>();                                           \
    return lines.c_str();                                                                        \
  }                                                                                              \
  extern "C" void forward_##SUFFIX(const NetworkCall<TYPE>* call, i64 threads) {                 \
    run_network<TYPE, false>(*call, threads, false);                                             \
  }                                                                                              \
  extern "C" void backward_##SUFFIX(const NetworkCall<TYPE>* call, i64 threads) {                \
    run_network<TYPE, false>(*call, threads, true);                                              \
  }                                                                                              \
  extern "C" void double_backward_##SUFFIX(const NetworkCall<TYPE>* call, i64 threads) {         \
    run_network<TYPE, true>(*call, threads, true);                                               \
  }                                                                                              \
  extern "C" void encode_##SUFFIX(const FeatureCall<TYPE>* call, i64 threads) {                  \
    encode<TYPE>(*call, threads);                                                                \
  }                                                                                              \
  extern "C" void play_##SUFFIX(const NetworkCall<TYPE>* call, const GameCall<TYPE>* game,       \
                                i64 threads) {                                                   \
    play<TYPE>(*call, *game, threads);                                                           \
  }
EXPORT(float, float32)
EXPORT(double, float64)
