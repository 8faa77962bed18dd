"""Learning agents: one learning rule per file behind one interface."""

from mermaide_pl.agents.base import HyperParameter, LearningRule, hyper_parameter
from mermaide_pl.agents.best_response import BestResponse
from mermaide_pl.agents.beta_thompson import BetaThompson
from mermaide_pl.agents.catie import CATIE
from mermaide_pl.agents.discounted_ucb import DiscountedUCB
from mermaide_pl.agents.epsilon_greedy import EpsilonGreedy
from mermaide_pl.agents.epsilon_softmax_q import EpsilonSoftmaxQ
from mermaide_pl.agents.exp3 import EXP3
from mermaide_pl.agents.gaussian_thompson import GaussianThompson
from mermaide_pl.agents.generated import AttentiveLearner, GeneratedLearner, Perception
from mermaide_pl.agents.group import AgentGroup, Family
from mermaide_pl.agents.learners import Learner
from mermaide_pl.agents.noisy_ucb import NoisyUCB
from mermaide_pl.agents.python_agent import PythonAgent
from mermaide_pl.agents.rescorla_wagner import RescorlaWagner
from mermaide_pl.agents.rewards import (
    BernoulliReward,
    GaussianReward,
    GaussianRewardPerTask,
    NoiseFreeReward,
    RewardModel,
)
from mermaide_pl.agents.rule_source import RuleSource
from mermaide_pl.agents.softmax import Softmax
from mermaide_pl.agents.ucb import UCB

__all__ = [
    "CATIE",
    "EXP3",
    "UCB",
    "AgentGroup",
    "AttentiveLearner",
    "BernoulliReward",
    "BestResponse",
    "BetaThompson",
    "DiscountedUCB",
    "EpsilonGreedy",
    "EpsilonSoftmaxQ",
    "Family",
    "GaussianReward",
    "GaussianRewardPerTask",
    "GaussianThompson",
    "GeneratedLearner",
    "HyperParameter",
    "Learner",
    "LearningRule",
    "NoiseFreeReward",
    "NoisyUCB",
    "Perception",
    "PythonAgent",
    "RescorlaWagner",
    "RewardModel",
    "RuleSource",
    "Softmax",
    "hyper_parameter",
]
