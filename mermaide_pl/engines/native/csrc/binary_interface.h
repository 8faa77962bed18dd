// The interface shared by Python and the library: structures, enumerations and learning rules.
//
// Each is written once, as a list from which both the code and its description are made. Python
// compares the description with its own side, binary_interface.py, when it loads the library.

#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>

namespace mermaide {

using i64 = int64_t;

struct Field {
  const char *name, *type;
  size_t length, offset;  // length of an array, else 0
};

template <class X>
constexpr const char* type_name() {
  if constexpr (std::is_array_v<X>) return type_name<std::remove_extent_t<X>>();
  else if constexpr (std::is_pointer_v<X>) return "pointer";
  else if constexpr (std::is_same_v<X, i64>) return "int64";
  else if constexpr (std::is_same_v<X, double>) return "float64";
  else return X::NAME;
}

[[gnu::cold]] inline std::string describe_fields(
    const std::string& structure, size_t size, std::initializer_list<Field> fields) {
  std::string lines;
  for (const Field& field : fields) {
    lines += structure + "." + field.name + ": " + field.type;
    if (field.length) lines += "[" + std::to_string(field.length) + "]";
    lines += " at byte " + std::to_string(field.offset) + "\n";
  }
  return lines + structure + ": " + std::to_string(size) + " bytes\n";
}

// Enumerators, separated by commas, as lines "KIND 0: FIRST".
[[gnu::cold]] inline std::string describe_enumerators(
    const std::string& kind, std::string_view enumerators) {
  std::string lines;
  for (i64 number = 0; !enumerators.empty(); ++number) {
    const size_t end = enumerators.find(", ");
    lines += kind + " " + std::to_string(number) + ": ";
    lines += std::string(enumerators.substr(0, end)) + "\n";
    enumerators.remove_prefix(end == enumerators.npos ? enumerators.size() : end + 2);
  }
  return lines;
}

}  // namespace mermaide

// Numbered from 0: none may be given a value.
#define ENUMERATION(KIND, ...)                         \
  enum KIND : i64 { __VA_ARGS__, NUM_##KIND };         \
  [[gnu::cold]] inline std::string describe_##KIND() { \
    return describe_enumerators(#KIND, #__VA_ARGS__);  \
  }

// The members of a structure: FIELDS is a macro that hands each of them, (type, name), to its argument.
#define MEMBERS(STRUCTURE, FIELDS)                                   \
  FIELDS(DECLARE_FIELD)                                              \
  static constexpr const char* NAME = #STRUCTURE;                    \
  [[gnu::cold]] static std::string describe() {                      \
    using Self = STRUCTURE;                                          \
    return describe_fields(NAME, sizeof(Self), {FIELDS(LIST_FIELD)}); \
  }
#define DECLARE_FIELD(TYPE, FIELD) TYPE FIELD;
#define LIST_FIELD(TYPE, FIELD) \
  {#FIELD, type_name<TYPE>(), std::extent_v<TYPE>, offsetof(Self, FIELD)},

namespace mermaide {

// ---- the network ----------------------------------------------------------------------------

ENUMERATION(ForecastKind, NONE, LINEAR, SHARED)
ENUMERATION(
    LayerName, IH, HH, COMMON, ARM, OUT, POLICY_IN, POLICY_OUT, CRITIC_IN, CRITIC_OUT,
    START)  // a bias only: the state in which an episode begins
constexpr i64 LAYERS = NUM_LayerName;
static_assert(POLICY_OUT == POLICY_IN + 1 && CRITIC_OUT == CRITIC_IN + 1 && START + 1 == LAYERS);

// The first three are rows of numbers per step. Then the log-probability of the levels played and the
// log-likelihood of the arms observed, and [M, B, H] the state in which an episode ends.
ENUMERATION(Output, LEVEL_LOGITS, VALUES, ARM_LOGITS, LOG_LEVELS, LOG_ARMS, LAST_STATE)
static_assert(LEVEL_LOGITS == 0 && VALUES == 1 && ARM_LOGITS == 2);

#define SIZES(FIELD)                                                                          \
  FIELD(i64, M) FIELD(i64, B) FIELD(i64, T) FIELD(i64, A) FIELD(i64, L) FIELD(i64, H)         \
  FIELD(i64, P)         /* hidden units of the policy */                                      \
  FIELD(i64, C)         /* hidden units of the critic */                                      \
  FIELD(i64, I)         /* features that the recurrence reads, the first ones */              \
  FIELD(i64, G)         /* features of no arm */                                              \
  FIELD(i64, per_arm)   /* features of each arm */                                            \
  FIELD(i64, S)         /* hidden units per arm of a shared forecast */                       \
  FIELD(i64, forecast)  /* ForecastKind */                                                    \
  FIELD(i64, critic)    /* whether there is one */
struct Sizes {
  MEMBERS(Sizes, SIZES)
  i64 F() const { return G + A * per_arm; }
};

template <class X>
using Slots = X[2 * LAYERS];  // layers as (weight, bias) pairs, null where absent
template <class X>
using Outputs = X[NUM_Output];

// Inputs and outputs of a call that runs the network.
#define NETWORK_CALL(FIELD)                                                                   \
  FIELD(Sizes, sizes)                                                                         \
  FIELD(Slots<const T*>, weight)                                                              \
  FIELD(Slots<i64>, weight_stride)     /* from task to task, 0 if shared */                   \
  FIELD(Slots<const T*>, tangent)      /* direction in weight space, for second derivatives */ \
  FIELD(Slots<i64>, tangent_stride)                                                           \
  FIELD(Slots<T*>, grad)               /* [M, ...], null where not wanted */                  \
  FIELD(const T*, features)            /* [M, B, T, F] */                                     \
  FIELD(const i64*, levels)            /* [M, B, T], the recorded levels; */                  \
  FIELD(const i64*, arms)              /* its likelihood is an output */                      \
  FIELD(Outputs<const T*>, cotangent)  /* null for zero */                                    \
  FIELD(Outputs<T*>, out)  /* values, or with a tangent their tangents; null where not wanted */
template <class T>
struct NetworkCall {
  MEMBERS(NetworkCall, NETWORK_CALL)
};

// ---- the game -------------------------------------------------------------------------------

ENUMERATION(HistoryKind, LAST_STEP, TALLIES, POOLED)
ENUMERATION(PlayerKind, SAMPLING, GREEDY, GIVEN, ORACLE)
ENUMERATION(Perception, EXACT, CLIPPED, TOSSED, SQUASHED)  // of rewards, by generated learners

// The learning rules of agents/*.py by name, the distribution of the numbers that each draws, and its
// hyper-parameters: `p_[UCB::beta]` is one of the task that `p_` points to.
#define RULES(RULE)                                                                           \
  RULE(UCB, uniform, beta)                                                                    \
  RULE(EpsilonGreedy, uniform, epsilon, decay)                                                \
  RULE(GaussianThompson, normal, prior_mean, prior_scale, noise_scale)                        \
  RULE(Softmax, uniform, temperature)                                                         \
  RULE(EXP3, uniform, gamma, reward_low, reward_high)                                         \
  RULE(BestResponse, uniform)                                                                 \
  RULE(DiscountedUCB, uniform, beta, discount)                                                \
  RULE(RescorlaWagner, uniform, learning_rate, temperature, perseveration, initial_value)     \
  RULE(NoisyUCB, uniform, beta, lapse_rate, temperature, prior_pulls)                         \
  RULE(EpsilonSoftmaxQ, uniform, learning_rate, inverse_temperature, epsilon)                 \
  RULE(CATIE, uniform, tau, epsilon, phi, context, threshold, tries_first)                    \
  GENERATED(RULE, GeneratedLearner, forgets_at)                                               \
  GENERATED(RULE, AttentiveLearner, forgets_at, attention)

// A generated learner; `...` is forgets_at, which all have, and what this one has beyond that.
#define GENERATED(RULE, NAME, ...)                                                            \
  RULE(NAME, uniform, beta, temperature, posterior_scale, lapse_rate, decay, learning_rate,   \
       discount, initial_value, prior_pulls, learns_preferences, perseveration, perception,   \
       cap, tries_first, knowledge, __VA_ARGS__)

#define ENUMERATE_RULE(RULE, NUMBERS, ...) RULE,
#define INDEX_HYPER_PARAMETERS(RULE, NUMBERS, ...) \
  struct RULE {                                    \
    enum HyperParameter : i64 { __VA_ARGS__ };     \
  };
#define DESCRIBE_RULE(RULE, NUMBERS, ...) \
  lines += describe_rule(Rule::RULE, #RULE, #NUMBERS, #__VA_ARGS__);

enum class Rule : i64 { RULES(ENUMERATE_RULE) };
RULES(INDEX_HYPER_PARAMETERS)
[[gnu::cold]] inline std::string describe_rule(
    Rule rule, const std::string& name, const char* numbers, const char* hyper_parameters) {
  return "Rule " + std::to_string(i64(rule)) + ": " + name + " of " + numbers + " numbers\n" +
         describe_enumerators(name, hyper_parameters);
}
[[gnu::cold]] inline std::string describe_rules() {
  std::string lines;
  RULES(DESCRIBE_RULE)
  return lines;
}

// The encoding of the history as features: features.py.
#define HISTORY_CALL(FIELD)                                                                   \
  FIELD(i64, kind)          /* HistoryKind */                                                 \
  FIELD(i64, sees_rewards)                                                                    \
  FIELD(i64, endless)                                                                         \
  FIELD(i64, horizon)       /* T of the game; the episodes recorded may be shorter */         \
  FIELD(const T*, bonuses)  /* [M, L], on the target */                                       \
  FIELD(const T*, cost)     /* [M] */                                                         \
  FIELD(const T*, budget)   /* [M] most steps of an episode with a bonus on the target */     \
  FIELD(const T*, other_bonuses)  /* [L], on the others, or null if these are never paid */   \
  FIELD(const T*, least)    /* [C] fewest steps with a bonus on the target, and the others */ \
  FIELD(const T*, others_most)  /* [1] most steps with a bonus on the others, or null */      \
  FIELD(i64, tells_budgets) /* whether features tell what is left */                          \
  FIELD(const T*, unit)     /* [M] reward units that count as one */                          \
  FIELD(const T*, means)    /* [G + P] of pooled features, null for other encodings */        \
  FIELD(const T*, deviations)  /* [G + P] */
template <class T>
struct HistoryCall {
  MEMBERS(HistoryCall, HISTORY_CALL)
};

#define FEATURE_CALL(FIELD)                                                                   \
  FIELD(Sizes, sizes)                                                                         \
  FIELD(HistoryCall<T>, history)                                                              \
  FIELD(const i64*, arms)    /* [M, B, T], arms the principal saw ... */                      \
  FIELD(const i64*, levels)  /* ... and levels it chose */                                      \
  FIELD(const T*, rewards)   /* [M, B, T] */                                                  \
  FIELD(T*, out)             /* [M, B, T, F] */
template <class T>
struct FeatureCall {
  MEMBERS(FeatureCall, FEATURE_CALL)
};

#define GAME_CALL(FIELD)                                                                      \
  FIELD(HistoryCall<T>, history)                                                              \
  FIELD(i64, first_step)            /* before it `given` levels are played ... */             \
  FIELD(i64, last_step)             /* ... and from it on nothing */                          \
  FIELD(i64, principal)             /* PlayerKind */                                          \
  FIELD(i64, weights_per_episode)   /* whether weights are of M * B episodes, not M tasks */  \
  FIELD(const T*, principal_draws)  /* [M, B, T] uniform; sampling only */                    \
  FIELD(const i64*, given)          /* [M, B, T] levels of a schedule, or of the first steps */ \
  FIELD(const T*, budget)           /* [M] of the oracle, reward units */                     \
  FIELD(const i64*, fixed_level)    /* [M] of the oracle, -1 for none */                      \
  FIELD(const T*, base_rewards)     /* [M, A] */                                              \
  FIELD(double, tie_tolerance)      /* reward units within which values of an arm tie */      \
  FIELD(const i64*, target)         /* [M] */                                                 \
  FIELD(const i64*, rule)           /* [M] Rule */                                            \
  FIELD(i64, num_parameters)        /* at least as many as any of these rules has */          \
  FIELD(const T*, parameters)       /* [M, num_parameters] hyper-parameters of the rule */    \
  FIELD(const T* const*, agent_draws)  /* [M] pointers to [B or 1, T, num_draws] */           \
  FIELD(const i64*, num_draws)      /* [M] */                                                 \
  FIELD(i64, shared_draws)          /* whether the agent's and reward's are of one episode */ \
  FIELD(i64, bernoulli)             /* whether reward_draws are uniform, not noise to add */  \
  FIELD(const T*, reward_draws)     /* [M, B or 1, T] */                                      \
  FIELD(double, arm_flip)                                                                     \
  FIELD(i64, num_observation_draws)                                                           \
  FIELD(const T*, observation_draws)  /* [M, B, T, num_observation_draws] uniform, or null */ \
  FIELD(const T*, seen_noise)       /* [M, B, T] to be added to the reward seen, or null */   \
  FIELD(i64*, arms)                 /* this and what follows are written, [M, B, T] */        \
  FIELD(i64*, levels)                                                                         \
  FIELD(i64*, observed_arms)                                                                  \
  FIELD(T*, agent_rewards)                                                                    \
  FIELD(T*, observed_agent_rewards)
template <class T>
struct GameCall {
  MEMBERS(GameCall, GAME_CALL)
};

template <class T>
[[gnu::cold]] std::string describe() {
  return Sizes::describe() + NetworkCall<T>::describe() + HistoryCall<T>::describe() +
         FeatureCall<T>::describe() + GameCall<T>::describe() + describe_ForecastKind() +
         describe_LayerName() + describe_Output() + describe_HistoryKind() + describe_PlayerKind() +
         describe_Perception() + describe_rules();
}

}  // namespace mermaide
