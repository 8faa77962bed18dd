// The game: the principal's features, the agents, and whole rollouts.

#pragma once

#include <optional>

#include "catie.h"
#include "network.h"

namespace mermaide {

// Scales of PooledFeatures, as in pooled_features.py.
constexpr double STEPS_LOG_UNIT = 8, ARMS_LOG_UNIT = 4, ROLLING_HORIZON = 1000;

// Functions of whole numbers up to the horizon, divided as in the features.
template <class T>
struct Tables {
  std::vector<T> log_pulls, log_waiting, log_left, uncertainty;
  Tables(i64 steps, const HistoryCall<T>& how) {
    const T scale = how.kind == POOLED ? STEPS_LOG_UNIT : std::log1p(double(how.horizon));
    for (i64 n = 0; n <= steps + 1; ++n) {
      const T at_least_one = std::max<i64>(n, 1);
      log_pulls.push_back(std::log1p(T(n)) / scale);
      log_waiting.push_back(std::log(at_least_one) / scale);
      log_left.push_back(std::log(T(std::max<i64>(how.horizon + 1 - n, 1))) / scale);
      uncertainty.push_back(T(1) / std::sqrt(at_least_one));
    }
  }
};

// What the budgets of an episode leave: game/budget.py. Columns are the target and the others.
template <class T>
class Spending {
 public:
  Spending(const Sizes& sizes, const HistoryCall<T>& how, i64 task)
      : L_(sizes.L), C_(how.other_bonuses ? 2 : 1), horizon_(how.horizon),
        target_(how.bonuses + task * sizes.L), others_(how.other_bonuses) {
    if (how.budget) most_[0] = how.budget[task];
    if (how.others_most) most_[1] = how.others_most[0];
    for (i64 c = 0; c < C_ && how.least; ++c) least_[c] = how.least[c];
    for (i64 c = 0; c < C_; ++c) limited_ |= most_[c] < horizon_ || least_[c] > 0;
    for (i64 u = 0; u < L_ && C_ == 2; ++u) {
      if (pays(u, 0) && pays(u, 1)) both_ = true;
      else if (pays(u, 0)) alone_[0] = true;
      else if (pays(u, 1)) alone_[1] = true;
    }
  }

  void add(i64 level) {
    for (i64 c = 0; c < C_; ++c) spent_[c] += pays(level, c);
    ++step_;
  }
  bool allows(i64 level) const {
    if (!limited_) return true;
    T owed[2] = {0, 0};
    for (i64 c = 0; c < C_; ++c) owed[c] = std::max(least_[c] - spent_[c] - pays(level, c), T(0));
    if (C_ == 2 && !alone_[0]) owed[1] = std::max(owed[0], owed[1]);
    if (C_ == 2 && !alone_[1]) owed[0] = std::max(owed[0], owed[1]);
    for (i64 c = 0; c < C_; ++c) {
      const T more = pays(level, c) + owed[c];
      if (more > 0 && spent_[c] + more > most_[c]) return false;
    }
    return (both_ ? std::max(owed[0], owed[1]) : owed[0] + owed[1]) < horizon_ - step_;
  }
  // The level itself if it is allowed, else the first of those that pay most nearly the same arms.
  i64 nearest(i64 level) const {
    if (allows(level)) return level;
    i64 found = level, fewest = C_ + 1;
    for (i64 u = 0; u < L_; ++u) {
      i64 differ = 0;
      for (i64 c = 0; c < C_; ++c) differ += pays(u, c) != pays(level, c);
      if (differ < fewest && allows(u)) found = u, fewest = differ;
    }
    return found;
  }
  void write(T*& x) const {
    const T left = horizon_ - step_;
    for (i64 c = 0; c < C_; ++c)
      *x++ = std::clamp((most_[c] - spent_[c]) / left, T(0), T(1));
    for (i64 c = 0; c < C_; ++c) *x++ = std::max((least_[c] - spent_[c]) / left, T(0));
  }

 private:
  bool pays(i64 level, i64 column) const {
    if (column) return others_[level] > 0;
    return others_ ? target_[level] > 0 : level > 0;
  }

  const i64 L_, C_, horizon_;
  const T *target_, *others_;
  static constexpr T ANY = std::numeric_limits<T>::infinity();
  T least_[2] = {0, 0}, most_[2] = {ANY, ANY}, spent_[2] = {0, 0};
  bool limited_ = false, both_ = false, alone_[2] = {false, false};
  i64 step_ = 0;
};

template <class T>
class Past {
 public:
  Past(const Sizes& sizes, const HistoryCall<T>& how, const Tables<T>& tables, i64 task)
      : s_(sizes), how_(how), tables_(tables), bonuses_(how.bonuses + task * s_.L),
        unit_(how.unit[task]), spending_(sizes, how, task), pulls_(s_.A), latest_(s_.A),
        sums_(s_.A) {
    if (how.kind != POOLED) return;
    budget_ = how.budget[task];
    const T price = how.cost[task] * unit_;
    price_ = price / (1 + price), arms_ = std::log(double(s_.A)) / ARMS_LOG_UNIT;
  }

  void add(i64 arm, i64 level, T reward) {
    const T offered = bonuses_[level];
    last_arm_ = arm, last_level_ = level, last_reward_ = reward;
    latest_[arm] = ++step_;
    ++pulls_[arm];
    sums_[arm] += reward;
    offered_ += offered;
    interventions_ += level > 0;
    if (how_.tells_budgets) spending_.add(level);
    if (arm == 0) paid_ += offered;
  }
  void write(T* x) const {
    if (how_.kind == POOLED) return write_pooled(x);
    const T horizon = how_.horizon, unit = unit_, paid = paid_ / unit, offered = offered_ / unit;
    for (i64 u = 0; u < s_.L; ++u) *x++ = u == last_level_;
    *x++ = T(step_) / horizon;
    if (how_.kind == TALLIES) {
      *x++ = tables_.log_left[step_];
      *x++ = paid / horizon, *x++ = offered / horizon;
      *x++ = paid / std::max<T>(pulls_[0], 1);
    }
    if (how_.tells_budgets) spending_.write(x);
    if (how_.sees_rewards) *x++ = last_reward_ / unit;
    for (i64 a = 0; a < s_.A; ++a) {
      *x++ = a == last_arm_;
      if (how_.kind == LAST_STEP) continue;
      const T pulls = pulls_[a], time = step_ + 1, waiting = time - latest_[a];
      *x++ = a == 0;
      *x++ = tables_.log_pulls[pulls_[a]], *x++ = pulls / time, *x++ = tables_.uncertainty[pulls_[a]];
      *x++ = tables_.log_waiting[step_ + 1 - latest_[a]];
      *x++ = std::min(waiting * pulls / (4 * time), T(1));
      if (how_.sees_rewards) *x++ = sums_[a] / unit / std::max(pulls, T(1));
    }
  }

 private:
  static constexpr i64 POOL = 7;  // features of an arm, but for whether it is the target

  // PooledFeatures: those of no arm, statistics over the arms other than the target, each arm's.
  void write_pooled(T* x) const {
    T* const start = x;
    const T horizon = how_.horizon, paid = paid_ / unit_, offered = offered_ / unit_, time = step_ + 1;
    const T left = how_.endless ? T(ROLLING_HORIZON) : horizon - step_;
    const T remaining = budget_ < horizon ? budget_ - interventions_ : left;
    const T allowed = std::max(std::min(remaining, left), T(0));
    const T last_bonus = last_level_ < 0 ? T(0) : bonuses_[last_level_] / unit_;
    *x++ = last_bonus, *x++ = last_arm_ == 0 ? last_bonus : T(0);
    *x++ = how_.endless ? T(1) : 1 - step_ / horizon;
    *x++ = std::log1p(left) / STEPS_LOG_UNIT, *x++ = tables_.log_waiting[step_ + 1];
    *x++ = paid / time, *x++ = offered / time, *x++ = paid / std::max<T>(pulls_[0], 1);
    *x++ = std::log1p(paid) / STEPS_LOG_UNIT, *x++ = std::log1p(offered) / STEPS_LOG_UNIT;
    *x++ = price_, *x++ = arms_;
    *x++ = allowed / left, *x++ = std::log1p(allowed) / STEPS_LOG_UNIT;
    *x++ = how_.sees_rewards, *x++ = how_.sees_rewards ? last_reward_ / unit_ : T(0);
    T *mean = x, *weighted = x + POOL, *most = x + 2 * POOL, *arm = x + 3 * POOL;
    std::fill_n(mean, 2 * POOL, T(0));
    std::fill_n(most, POOL, -std::numeric_limits<T>::infinity());
    T others = 0;
    for (i64 a = 0; a < s_.A; ++a, arm += POOL + 1) {
      const T pulls = pulls_[a], waiting = time - latest_[a];
      arm[0] = a == last_arm_, arm[1] = tables_.log_pulls[pulls_[a]], arm[2] = pulls / time;
      arm[3] = tables_.uncertainty[pulls_[a]], arm[4] = tables_.log_waiting[step_ + 1 - latest_[a]];
      arm[5] = std::min(waiting * pulls / (4 * time), T(1));
      arm[6] = how_.sees_rewards ? sums_[a] / unit_ / std::max(pulls, T(1)) : T(0);
      arm[POOL] = a == 0;
      if (a == 0) continue;
      others += pulls;
      for (i64 i = 0; i < POOL; ++i) {
        mean[i] += arm[i], weighted[i] += pulls * arm[i];
        most[i] = std::max(most[i], arm[i]);
      }
    }
    for (i64 i = 0; i < POOL; ++i) mean[i] /= s_.A - 1, weighted[i] /= std::max(others, T(1));
    standardise(start, how_.means, how_.deviations, s_.G);
    T* of_arm = start + s_.G;
    for (i64 a = 0; a < s_.A; ++a, of_arm += POOL + 1)
      standardise(of_arm, how_.means + s_.G, how_.deviations + s_.G, POOL + 1);
  }
  static void standardise(T* x, const T* means, const T* deviations, i64 size) {
    for (i64 i = 0; i < size; ++i) x[i] = (x[i] - means[i]) / deviations[i];
  }

  const Sizes& s_;
  const HistoryCall<T>& how_;
  const Tables<T>& tables_;
  const T* bonuses_;
  const T unit_;
  Spending<T> spending_;
  T budget_ = 0, price_ = 0, arms_ = 0;
  i64 step_ = 0, last_arm_ = -1, last_level_ = -1, interventions_ = 0;
  T last_reward_ = 0, paid_ = 0, offered_ = 0;
  std::vector<i64> pulls_, latest_;
  std::vector<T> sums_;
};

template <class T>
void encode(const FeatureCall<T>& call, i64 num_threads) {
  const Tables<T> tables(call.sizes.T, call.history);
  for_each_task(call.sizes.M, num_threads, [&](i64 task, Arena&) {
    for (i64 b = 0; b < call.sizes.B; ++b) {
      Past<T> past(call.sizes, call.history, tables, task);
      for (i64 t = 0; t < call.sizes.T; ++t) {
        const i64 at = (task * call.sizes.B + b) * call.sizes.T + t;
        past.write(call.out + at * call.sizes.F());
        past.add(call.arms[at], call.levels[at], call.rewards[at]);
      }
    }
  });
}

// One agent in one episode: agents/*.py.
template <class T>
class Agent {
 public:
  Agent(const GameCall<T>& game, i64 task, i64 num_arms)
      : rule_(Rule(game.rule[task])), A_(num_arms), target_(game.target[task]),
        base_(game.base_rewards + task * num_arms), p_(game.parameters + task * game.num_parameters),
        tie_tolerance_(T(game.tie_tolerance)), counts_(num_arms), sums_(num_arms) {
    if (rule_ == Rule::EXP3) std::fill(sums_.begin(), sums_.end(), -std::log(T(A_)));
    if (rule_ == Rule::RescorlaWagner)
      std::fill(sums_.begin(), sums_.end(), p_[RescorlaWagner::initial_value]);
    if (rule_ == Rule::CATIE) catie_.emplace(A_, p_);
    if (is_generated()) begin();
  }

  i64 act(T bonus, const T* draws) const {
    const T infinity = std::numeric_limits<T>::infinity();
    switch (rule_) {
      case Rule::UCB: {
        const T log_t = std::log(double(step_));
        return best(draws, [&](i64 a) {
          return counts_[a] ? mean(a) + p_[UCB::beta] * std::sqrt(log_t / counts_[a]) : infinity;
        });
      }
      case Rule::NoisyUCB: {
        const T log_t = std::log(double(step_));
        const T prior_pulls = p_[NoisyUCB::prior_pulls], scale = p_[NoisyUCB::temperature];
        const bool lapses = draws[0] < p_[NoisyUCB::lapse_rate];
        return best(draws + 1, [&](i64 a) {
          const T pulls = counts_[a] + prior_pulls;
          const T mean = (sums_[a] + T(0.5) * prior_pulls) / pulls;
          if (lapses || !(pulls > 0)) return lapses ? T(0) : infinity;
          const T noise = scale > 0 ? -scale * std::log(-std::log(draws[1 + a])) : T(0);
          return mean + p_[NoisyUCB::beta] * std::sqrt(log_t / pulls) + noise;
        });
      }
      case Rule::DiscountedUCB: {
        const T log_t = std::log1p(std::accumulate(counts_.begin(), counts_.end(), T(0)));
        return best(draws, [&](i64 a) {
          const T width = p_[DiscountedUCB::beta] * std::sqrt(log_t / counts_[a]);
          return counts_[a] > 0 ? mean(a) + width : infinity;
        });
      }
      case Rule::RescorlaWagner:
        return best(draws, [&](i64 a) {
          const T habit = a == last_ ? p_[RescorlaWagner::perseveration] : T(0);
          return sums_[a] + habit - p_[RescorlaWagner::temperature] * std::log(-std::log(draws[a]));
        });
      case Rule::EpsilonSoftmaxQ: {
        const bool all_known = std::find(counts_.begin(), counts_.end(), T(0)) == counts_.end();
        const bool is_random = !all_known || draws[0] < 2 * p_[EpsilonSoftmaxQ::epsilon];
        return best(draws + 1, [&](i64 a) {
          const T value = p_[EpsilonSoftmaxQ::inverse_temperature] * sums_[a];
          return is_random ? T(0) : value - std::log(-std::log(draws[1 + a]));
        });
      }
      case Rule::CATIE: {
        const std::vector<T> preferences = catie_->preferences(draws);
        return best(draws + 3, [&](i64 a) { return preferences[a]; });
      }
      case Rule::EpsilonGreedy: {
        const T epsilon = p_[EpsilonGreedy::epsilon], decay = p_[EpsilonGreedy::decay];
        const bool explores = draws[0] < epsilon / (1 + decay * (step_ - 1));
        return best(draws + 1, [&](i64 a) { return explores ? 0 : counts_[a] ? mean(a) : infinity; });
      }
      case Rule::Softmax:
        return best(draws, [&](i64 a) {
          const T noise = -p_[Softmax::temperature] * std::log(-std::log(draws[a]));
          return counts_[a] ? mean(a) + noise : infinity;
        });
      case Rule::GaussianThompson: {
        const T prior_mean = p_[GaussianThompson::prior_mean];
        const T scale = p_[GaussianThompson::noise_scale];
        const T ratio = scale / p_[GaussianThompson::prior_scale], prior_pulls = ratio * ratio;
        return best(nullptr, [&](i64 a) {
          const T pulls = counts_[a] + prior_pulls;
          return (sums_[a] + prior_pulls * prior_mean) / pulls + scale / std::sqrt(pulls) * draws[a];
        });
      }
      case Rule::EXP3: {
        T cumulative = 0;
        i64 arm = 0;
        for (i64 a = 0; a + 1 < A_; ++a) arm += (cumulative += probability(a)) <= draws[0];
        return arm;
      }
      case Rule::BestResponse: {  // ties, within a tolerance, go to the principal
        T top = -infinity;
        auto value = [&](i64 a) { return base_[a] + (a == target_ ? bonus : 0); };
        for (i64 a = 0; a < A_; ++a) top = std::max(top, value(a));
        top -= tie_tolerance_;
        if (value(target_) >= top) return target_;
        i64 arm = 0;
        while (value(arm) < top) ++arm;
        return arm;
      }
      case Rule::GeneratedLearner:
        return act_generated(0, draws);
      case Rule::AttentiveLearner:
        return act_generated(p_[AttentiveLearner::attention] * bonus, draws);
    }
    __builtin_unreachable();
  }
  void learn(i64 arm, T reward, const T* draws) {
    ++step_;
    if (is_generated()) return learn_generated(arm, reward, draws);
    if (rule_ == Rule::CATIE) return catie_->learn(arm, reward);
    if (rule_ == Rule::EXP3) {
      const T low = p_[EXP3::reward_low], width = p_[EXP3::reward_high] - low;
      const T gain = std::clamp((reward - low) / width, T(0), T(1));
      sums_[arm] += p_[EXP3::gamma] / A_ * gain / probability(arm);
      const T top = *std::max_element(sums_.begin(), sums_.end());
      T total = 0;
      for (T weight : sums_) total += std::exp(weight - top);
      for (T& weight : sums_) weight -= top + std::log(total);
    } else if (rule_ == Rule::RescorlaWagner) {
      sums_[arm] += p_[RescorlaWagner::learning_rate] * (reward - sums_[arm]);
      last_ = arm;
    } else if (rule_ == Rule::EpsilonSoftmaxQ) {
      const T rate = counts_[arm] > 0 ? p_[EpsilonSoftmaxQ::learning_rate] : T(1);
      sums_[arm] += rate * (reward - sums_[arm]);
      counts_[arm] = 1;
    } else {
      if (rule_ == Rule::DiscountedUCB) {
        const T kept = p_[DiscountedUCB::discount];
        for (i64 a = 0; a < A_; ++a) counts_[a] *= kept, sums_[a] *= kept;
      }
      ++counts_[arm];
      sums_[arm] += reward;
    }
  }

 private:
  T mean(i64 a) const { return sums_[a] / counts_[a]; }
  T probability(i64 a) const {  // of EXP3
    const T gamma = p_[EXP3::gamma];
    return (1 - gamma) * std::exp(sums_[a]) + gamma / A_;
  }

  // Generated learners: agents/generated.py. An attentive one has the same hyper-parameters first.
  using Generated = GeneratedLearner;
  bool is_generated() const {
    return rule_ == Rule::GeneratedLearner || rule_ == Rule::AttentiveLearner;
  }
  bool prefers() const { return p_[Generated::learns_preferences] > 0; }
  bool has_moving_values() const { return !prefers() && p_[Generated::learning_rate] > 0; }
  T remaining() const { return 1 / (1 + p_[Generated::decay] * steps_so_far_); }

  T initial(i64 a) const {
    const T value = p_[Generated::initial_value];
    return value + p_[Generated::knowledge] * (base_[a] - value);
  }
  void begin() {
    std::fill(counts_.begin(), counts_.end(), T(0));
    for (i64 a = 0; a < A_; ++a) sums_[a] = has_moving_values() ? initial(a) : T(0);
    last_ = -1, steps_so_far_ = 0, reward_sum_ = 0;
  }
  i64 act_generated(T attraction, const T* draws) const {
    const T* const per_arm = draws + 2;
    const T remains = remaining();
    const bool lapses = draws[0] < p_[Generated::lapse_rate] * remains;
    if (lapses) return best(per_arm, [](i64) { return T(0); });
    const bool is_preference = prefers(), is_moving = has_moving_values();
    const bool tries_first = p_[Generated::tries_first] > 0;
    const T temperature = p_[Generated::temperature] * remains;
    const T per_deviation = std::sqrt(3.0) / M_PI;  // a logistic number has variance pi^2 / 3
    const T scale = is_preference ? T(0) : p_[Generated::posterior_scale] * per_deviation;
    const T beta = is_preference ? T(0) : p_[Generated::beta];
    const T prior_pulls = p_[Generated::prior_pulls];
    const T log_pulls =
        beta > 0 ? std::log1p(std::accumulate(counts_.begin(), counts_.end(), T(0))) : T(0);
    return best(per_arm, [&](i64 a) {
      const T pulls = counts_[a] + prior_pulls;
      if ((tries_first && counts_[a] == 0) || (beta > 0 && pulls == 0))
        return std::numeric_limits<T>::infinity();
      T value = sums_[a];
      if (!is_preference && !is_moving)
        value = pulls > 0 ? (value + prior_pulls * initial(a)) / pulls : initial(a);
      if (beta > 0) value += beta * std::sqrt(log_pulls / pulls);
      if (a == last_) value += p_[Generated::perseveration];
      if (a == target_) value += attraction;
      if (!(temperature > 0 || scale > 0)) return value;
      const T neg_log = -std::log(per_arm[a]);
      T noise = 0;
      if (scale > 0) noise -= scale * (neg_log + std::log1p(-per_arm[a])) / std::sqrt(1 + pulls);
      if (temperature > 0) noise -= temperature * std::log(neg_log);
      return value + noise;
    });
  }
  T perceive(T reward, T draw) const {
    const T cap = p_[Generated::cap];
    switch (Perception(p_[Generated::perception])) {
      case CLIPPED: return std::min(reward, cap);
      case TOSSED: return draw < reward / cap ? cap : T(0);
      case SQUASHED: return cap * std::tanh(reward / cap);
      default: return reward;
    }
  }
  void learn_generated(i64 arm, T reward, const T* draws) {
    const T seen = perceive(reward, draws[1]), rate = p_[Generated::learning_rate];
    const T kept = p_[Generated::discount];
    const bool is_mean = !(rate > 0) && !prefers();
    if (prefers()) {
      const T baseline = steps_so_far_ ? reward_sum_ / steps_so_far_ : seen;
      const T temperature = p_[Generated::temperature] * remaining();
      const T top = *std::max_element(sums_.begin(), sums_.end());
      T total = 0;
      for (T preference : sums_) total += std::exp((preference - top) / temperature);
      for (i64 a = 0; a < A_; ++a) {
        const T chance = std::exp((sums_[a] - top) / temperature) / total;
        sums_[a] += rate * (seen - baseline) * ((a == arm) - chance);
      }
    } else if (!is_mean) {
      sums_[arm] += rate * (seen - sums_[arm]);
    }
    if (kept < 1)
      for (i64 a = 0; a < A_; ++a) counts_[a] *= kept, sums_[a] *= is_mean ? kept : T(1);
    ++counts_[arm];
    if (is_mean) sums_[arm] += seen;
    last_ = arm, ++steps_so_far_, reward_sum_ += seen;
    if (step_ - 1 == i64(p_[Generated::forgets_at])) begin();  // step_ is the coming one
  }

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

  const Rule rule_;
  const i64 A_, target_;
  const T *base_, *p_;
  const T tie_tolerance_;
  // pulls and reward sums; sums_ are EXP3's log weights and values that move towards rewards
  std::vector<T> counts_, sums_;
  i64 step_ = 1, last_ = -1;
  i64 steps_so_far_ = 0;  // of generated learners, and the rewards of these steps
  T reward_sum_ = 0;
  std::optional<Catie<T>> catie_;
};

// A level of those that are allowed; if none is, as after a history that broke a budget, the first.
template <class T>
i64 choose(const GameCall<T>& game, const T* logits, i64 L, T draw, const Spending<T>& spending) {
  i64 best = -1;
  for (i64 u = 0; u < L; ++u)
    if ((best < 0 || logits[u] > logits[best]) && spending.allows(u)) best = u;
  if (best < 0 || game.principal == GREEDY) return std::max<i64>(best, 0);
  auto share = [&](i64 u) { return spending.allows(u) ? std::exp(logits[u] - logits[best]) : T(0); };
  T total = 0, cumulative = 0;
  for (i64 u = 0; u < L; ++u) total += share(u);
  i64 level = 0;
  for (i64 u = 0; u + 1 < L; ++u) level += draw > (cumulative += share(u) / total);
  return level;
}

template <class T>
void play(const NetworkCall<T>& call, const GameCall<T>& game, i64 num_threads) {
  const Sizes& s = call.sizes;
  const Tables<T> tables(s.T, game.history);
  const bool learned = game.principal == SAMPLING || game.principal == GREEDY;
  for_each_task(s.M, num_threads, [&](i64 task, Arena& arena) {
    const bool alone = game.weights_per_episode;
    const i64 most = alone ? 1 : std::min(s.B, MAX_EPISODES), target = game.target[task];
    std::unique_ptr<Network<T, false>> network;
    const Arena::Mark mark = arena.mark();
    for (i64 first = 0; first < s.B; first += most) {
      if (learned && (alone || !network)) {
        arena.back_to(mark);
        const i64 owner = alone ? task * s.B + first : task;
        network = std::make_unique<Network<T, false>>(call, arena, owner, 1, most);
      }
      const i64 R = std::min(most, s.B - first);
      std::vector<Past<T>> pasts(learned ? R : 0, Past<T>(s, game.history, tables, task));
      std::vector<Agent<T>> agents(R, Agent<T>(game, task, s.A));
      std::vector<T> budget(R, game.budget ? game.budget[task] : 0);
      std::vector<Spending<T>> spending(R, Spending<T>(s, game.history, task));
      const T* bonuses = game.history.bonuses + task * s.L;
      const T* on_others = game.history.other_bonuses;
      const T offer = bonuses[s.L - 1] - (on_others ? on_others[s.L - 1] : T(0));
      if (learned) network->begin(R);
      for (i64 t = 0; t < game.last_step; ++t) {
        const bool is_given = t < game.first_step;
        if (learned && !is_given) {
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
          if (is_given) {
            level = game.given[at];
          } else if (learned) {
            const T uniform = game.principal == SAMPLING ? game.principal_draws[at] : T(0);
            level = choose(game, network->level_logits(r), s.L, uniform, spending[r]);
          } else if (game.principal == GIVEN) {
            level = game.given[at];
          } else {  // pays only for pulls of the target, while the budget lasts
            const bool pays = budget[r] > 0 && agents[r].act(offer, draws) == target;
            level = game.fixed_level[task] >= 0 ? game.fixed_level[task] : pays ? s.L - 1 : 0;
          }
          level = spending[r].nearest(level);
          spending[r].add(level);
          const T bonus = bonuses[level], other_bonus = on_others ? on_others[level] : T(0);
          budget[r] -= bonus;
          const i64 arm = agents[r].act(bonus - other_bonus, draws);
          const T mean = game.base_rewards[task * s.A + arm], drawn = game.reward_draws[draw];
          T reward = game.bernoulli ? T(drawn < mean) : mean + drawn;
          if (arm == target) reward += bonus;
          else if (on_others) reward += other_bonus;
          agents[r].learn(arm, reward, draws);
          i64 seen = arm;
          if (game.arm_flip > 0 && game.observation_draws[at * game.num_observation_draws] < T(game.arm_flip)) {
            const i64 shift = game.observation_draws[at * game.num_observation_draws + 1] * (s.A - 1);
            seen = (arm + 1 + std::min(shift, s.A - 2)) % s.A;
          }
          seen = seen == target ? 0 : seen == 0 ? target : seen;  // principal labels
          T seen_reward = game.history.sees_rewards ? reward : T(0);
          if (game.seen_noise) seen_reward += game.seen_noise[at];
          if (learned) pasts[r].add(seen, level, seen_reward);
          game.arms[at] = arm, game.levels[at] = level, game.observed_arms[at] = seen;
          game.agent_rewards[at] = reward, game.observed_agent_rewards[at] = seen_reward;
        }
      }
    }
  });
}

}  // namespace mermaide
