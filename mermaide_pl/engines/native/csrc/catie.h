// The memory and the choices of CATIE: agents/catie.py.

#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "binary_interface.h"

namespace mermaide {

template <class T>
class Catie {
 public:
  Catie(i64 num_arms, const T* parameters)
      : A_(num_arms), C_(4 * num_arms * num_arms), p_(parameters), pulls_(A_), means_(A_),
        squares_(A_), context_pulls_(A_ * C_), context_sums_(A_ * C_) {}

  // Preference of each arm: the arm of the highest one is chosen, ties broken by draws 3 to A + 2.
  std::vector<T> preferences(const T* draws) const {
    std::vector<T> values(A_);
    const bool tries_first = p_[CATIE::tries_first] > 0 || step_ == 1;
    for (i64 a = 0; a < A_; ++a) values[a] = tries_first && pulls_[a] == 0;
    if (std::find(values.begin(), values.end(), T(1)) != values.end()) return values;
    const bool is_trend = step_ > 2 && arms_[0] == arms_[1] && rewards_[0] != rewards_[1];
    const T novelty = (1 + surprise_ + surprise_sum_ / std::max<i64>(step_ - 1, 1)) / 3;
    if (is_trend && draws[0] < p_[CATIE::tau]) {
      const bool rose = rewards_[0] > rewards_[1];
      for (i64 a = 0; a < A_; ++a) values[a] = (a == arms_[0]) == rose;
    } else if (draws[1] < p_[CATIE::epsilon] * novelty) {
      return values;
    } else if (draws[2] < p_[CATIE::phi]) {
      values[arms_[0]] = 1;
    } else {
      for (i64 a = 0; a < A_; ++a) values[a] = average(a, draws[3 + A_ + a]);
    }
    return values;
  }

  void learn(i64 arm, T reward) {
    const T error = std::abs(expected_average(arm) - reward);
    const i64 context = arm * C_ + this->context();
    const T change = reward - means_[arm];
    means_[arm] += change / ++pulls_[arm];
    squares_[arm] += change * (reward - means_[arm]);
    const T deviation = std::sqrt(squares_[arm] / std::max<T>(pulls_[arm] - 1, 1));
    surprise_ = deviation > 0 ? error / (deviation + error) : T(0);
    surprise_sum_ += surprise_;
    if (p_[CATIE::context] < step_) ++context_pulls_[context], context_sums_[context] += reward;
    arms_[1] = arms_[0], rewards_[1] = rewards_[0];
    arms_[0] = arm, rewards_[0] = reward;
    ++step_;
  }

 private:
  i64 context() const {
    auto pair = [&](i64 back) { return 2 * arms_[back] + (rewards_[back] > p_[CATIE::threshold]); };
    const T size = p_[CATIE::context];
    return (size > 0 ? pair(0) : 0) + (size > 1 ? 2 * A_ * pair(1) : 0);
  }
  T average_after(i64 place) const { return context_sums_[place] / context_pulls_[place]; }
  i64 num_known(i64 arm) const {
    const auto first = context_pulls_.begin() + arm * C_;
    return C_ - std::count(first, first + C_, T(0));
  }

  // The contingent average, after the n-th known context, n drawn, where this one is unknown.
  T average(i64 arm, T draw) const {
    const i64 first = arm * C_, here = first + context(), known = num_known(arm);
    if (!known) return means_[arm];
    if (context_pulls_[here] > 0) return average_after(here);
    i64 left = i64(std::floor(draw * known)), place = first;
    while (context_pulls_[place] == 0 || left-- > 0) ++place;
    return average_after(place);
  }
  T expected_average(i64 arm) const {
    const i64 first = arm * C_, here = first + context(), known = num_known(arm);
    if (!known) return means_[arm];
    if (context_pulls_[here] > 0) return average_after(here);
    T total = 0;
    for (i64 place = first; place < first + C_; ++place)
      if (context_pulls_[place] > 0) total += average_after(place) / known;
    return total;
  }

  i64 A_, C_;
  const T* p_;
  std::vector<T> pulls_, means_, squares_;           // squared deviations from the mean
  std::vector<T> context_pulls_, context_sums_;      // [A, C]
  i64 arms_[2] = {0, 0}, step_ = 1;                  // the latest arm and the one before
  T rewards_[2] = {0, 0}, surprise_ = 0, surprise_sum_ = 0;
};

}  // namespace mermaide
