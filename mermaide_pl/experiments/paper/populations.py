"""The populations of the experiments by name, the same as the files in ``conf/population``.

An experiment needs no configuration files: they are not installed with the package.
"""

from __future__ import annotations

from mermaide_pl.agents import (
    EXP3,
    UCB,
    BestResponse,
    DiscountedUCB,
    EpsilonGreedy,
    GaussianThompson,
    LearningRule,
    NoiseFreeReward,
    NoisyUCB,
    RescorlaWagner,
    Softmax,
)
from mermaide_pl.populations import AgentFamily, Interval, NormalRewards, Population
from mermaide_pl.populations.population import HyperParameterRange

_TRAIN_BETAS: HyperParameterRange = [0.17, 0.27, 0.42, 0.5, 0.67]


def _one(rule: type[LearningRule], **hyper_parameters: HyperParameterRange) -> list[AgentFamily]:
    return [AgentFamily(rule, hyper_parameters)]


POPULATIONS: dict[str, Population] = {
    "train_ucb": Population(_one(UCB, beta=_TRAIN_BETAS)),
    "val_ucb": Population(_one(UCB, beta=[0.08, 0.12, 0.34, 0.78, 0.95, 1.2])),
    "train_mixed": Population(
        [
            AgentFamily(UCB, {"beta": _TRAIN_BETAS}, 3.0),
            AgentFamily(
                NoisyUCB,
                {
                    "beta": _TRAIN_BETAS,
                    "lapse_rate": [0.0, 0.0, 0.05, 0.15, 0.3],
                    "temperature": [0.0, 0.02, 0.05, 0.1, 0.2, 0.8],
                    "prior_pulls": [0.0, 0.0, 0.3, 1.0, 3.0],
                },
                4.0,
            ),
            AgentFamily(
                RescorlaWagner,
                {
                    "learning_rate": Interval(0.03, 0.15),
                    "temperature": [0.005, 0.02, 0.05, 0.1],
                    "perseveration": 0.0,
                    "initial_value": Interval(1.0, 1.5),
                },
                2.0,
            ),
            AgentFamily(DiscountedUCB, {"beta": _TRAIN_BETAS, "discount": Interval(0.98, 0.999)}),
        ]
    ),
    "val_mixed": Population(
        [
            AgentFamily(UCB, {"beta": [0.08, 0.12, 0.34, 0.78, 0.95, 1.2]}, 4.0),
            AgentFamily(
                NoisyUCB,
                {
                    "beta": [0.08, 0.34, 0.78],
                    "lapse_rate": [0.0, 0.1, 0.25],
                    "temperature": [0.01, 0.035, 0.08, 0.15, 1.5],
                    "prior_pulls": [0.0, 0.0, 0.6, 2.0],
                },
                4.0,
            ),
            AgentFamily(
                RescorlaWagner,
                {
                    "learning_rate": [0.02, 0.08, 0.2],
                    "temperature": [0.01, 0.035, 0.15],
                    "perseveration": 0.0,
                    "initial_value": [0.9, 1.2],
                },
                2.0,
            ),
        ]
    ),
    "unseen_ucb": Population(_one(UCB, beta=[0.05, 0.1, 0.85, 1.0, 1.4])),
    "unseen_rewards": Population(
        _one(UCB, beta=_TRAIN_BETAS), base_rewards=NormalRewards(0.5, 0.2)
    ),
    "epsilon_greedy": Population(_one(EpsilonGreedy, epsilon=[0.05, 0.1, 0.2])),
    "exp3": Population(_one(EXP3, gamma=[0.1, 0.2], reward_low=0.0, reward_high=2.0)),
    "softmax": Population(_one(Softmax, temperature=[0.05, 0.1, 0.2])),
    "thompson": Population(
        _one(GaussianThompson, prior_mean=0.5, prior_scale=[0.3, 0.6], noise_scale=[0.1, 0.2])
    ),
    "best_response": Population(_one(BestResponse), reward_model=NoiseFreeReward()),
}
"""Base rewards are uniform on [0, 1], rewards Gaussian with scale 0.1, unless said otherwise."""
