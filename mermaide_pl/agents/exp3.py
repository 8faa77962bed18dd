"""Exponential weights for adversarial bandits."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter
from mermaide_pl.config.validation import check_number


@dataclass
class EXP3(LearningRule):
    """Exponential weights for exploration and exploitation.

    Arm ``a`` is pulled with probability ``p_a = (1 - gamma) w_a / sum_b w_b + gamma / A``. Its
    reward, rescaled to ``x`` in [0, 1] by its range and clipped, then multiplies its weight by
    ``exp(gamma / A * x / p_a)``. Weights start equal; only their ratios matter, so the state is
    their logarithms, kept normalised to a sum of weights of 1.

    Source: Auer, Cesa-Bianchi, Freund, Schapire, "The nonstochastic multiarmed bandit problem",
    SIAM Journal on Computing 32 (2002), section 3, algorithm Exp3.

    Args:
        gamma: share of uniform exploration and learning rate, above 0 and at most 1.
        reward_low: reward that counts as 0.
        reward_high: reward that counts as 1, above `reward_low`. Rewards beyond it look the same
            to the agent, so a range without the bonus hides part of the bonus.
    """

    gamma: HyperParameter = hyper_parameter(0.1, above=0.0, high=1.0)
    reward_low: HyperParameter = hyper_parameter(0.0)
    reward_high: HyperParameter = hyper_parameter(1.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        for width in (self.reward_high - self.reward_low).flatten().tolist():
            check_number("EXP3.reward_high minus reward_low", width, above=0.0)

    def num_uniforms(self, num_arms: int) -> int:
        """One, to draw the arm from its distribution."""
        return 1

    def init(self, base_rewards: Tensor, target_arm: Tensor, num_episodes: int) -> Tensor:
        """Logarithms of the normalised weights, float [M, B, A]."""
        M, A = base_rewards.shape
        return base_rewards.new_zeros(M, num_episodes, A).log_softmax(-1)

    def probabilities(self, log_weights: Tensor, num_arms: int) -> Tensor:
        """Probabilities of the arms with these logarithms of weights, float [M, B, any]."""
        return (1.0 - self.gamma) * log_weights.exp() + self.gamma / num_arms

    def act(self, state: Tensor, bonus: Tensor, uniforms: Tensor) -> Tensor:
        """An arm drawn from the distribution: how many cumulative sums the number has passed."""
        cumulative = self.probabilities(state, state.shape[-1]).cumsum(-1)
        return (cumulative[..., :-1] <= uniforms).sum(-1)

    def decision_variables(self, state: Tensor) -> tuple[Tensor, ...]:
        """Logarithms of the weights, float [M, B, A]."""
        return (state.clone(),)

    def choice_probabilities(self, *variables: Tensor) -> Tensor:
        """Those of all arms."""
        return self.probabilities(variables[0], variables[0].shape[-1])

    def update(self, state: Tensor, arms: Tensor, rewards: Tensor, uniforms: Tensor) -> Tensor:
        """Raise the weight of the arm pulled."""
        index, num_arms = arms.unsqueeze(-1), state.shape[-1]
        width = self.reward_high - self.reward_low
        gain = ((rewards.unsqueeze(-1) - self.reward_low) / width).clamp(0.0, 1.0)
        probability = self.probabilities(state.gather(-1, index), num_arms)
        state.scatter_add_(-1, index, self.gamma / num_arms * gain / probability)
        return state.log_softmax(-1)
