"""Learning objectives: returns, advantages, meta-gradient surrogates and likelihoods."""

from mermaide_pl.objectives.advantages import (
    Advantages,
    CentredRewardsToGo,
    GeneralisedAdvantages,
    HindsightAdvantages,
    Outcome,
)
from mermaide_pl.objectives.likelihoods import (
    entropy,
    factual_arm_logits,
    forecast_log_likelihood,
    log_probabilities,
)
from mermaide_pl.objectives.returns import (
    advantage_noise_scale,
    generalised_advantages,
    normalise_per_task,
    rewards_to_go,
)
from mermaide_pl.objectives.surrogates import (
    DiCE,
    LowVarianceCurvature,
    PlainMAML,
    Surrogate,
)

__all__ = [
    "Advantages",
    "CentredRewardsToGo",
    "DiCE",
    "GeneralisedAdvantages",
    "HindsightAdvantages",
    "LowVarianceCurvature",
    "Outcome",
    "PlainMAML",
    "Surrogate",
    "advantage_noise_scale",
    "entropy",
    "factual_arm_logits",
    "forecast_log_likelihood",
    "generalised_advantages",
    "log_probabilities",
    "normalise_per_task",
    "rewards_to_go",
]
