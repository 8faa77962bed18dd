"""A small principal with an inner loop, and agents to play with."""

import torch

from mermaide_pl.agents import UCB, EpsilonGreedy
from mermaide_pl.engines import AUTO, Engine, Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import (
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.meta_step import MetaStep, meta_step
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import Architecture, LearnedPlayer, Principal

GAME = Game(num_arms=4, num_steps=12, observation=FullInformation(0.1, 0.1))
POPULATION = Population(
    [AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}), AgentFamily(EpsilonGreedy)], num_arms=4
)
ADAPTATIONS = {
    "maml": GradientAdaptation(inner_lr=0.5),
    "two shots, three steps": GradientAdaptation(num_shots=2, num_inner_steps=3),
    "first order": GradientAdaptation(first_order=True),
    "fixed rate": GradientAdaptation(learn_inner_lr=False),
    "heads only": GradientAdaptation(adapted=("policy",)),
    "adam": GradientAdaptation(inner_lr=0.01, inner_optimizer=torch.optim.Adam),
    "weight decay": GradientAdaptation(num_inner_steps=2, optimizer_args={"weight_decay": 0.1}),
    "with memory": GradientAdaptation(inner_lr=0.5, carries_state=True),
    "memory of two shots": GradientAdaptation(0.5, num_shots=2, carries_state=True),
    "memory alone": RecurrentAdaptation(num_shots=2),
    "no adaptation": NoAdaptation(),
}
BLIND = torch.zeros(3, dtype=torch.bool)  # no agent of the population sees the bonus


def sample(indices):
    return POPULATION.sample(indices, split="train").to("cpu", torch.float64)


class Learner:
    """A principal with an inner loop."""

    def __init__(self, adaptation, architecture=None, **objective) -> None:
        torch.manual_seed(0)
        architecture = architecture or Architecture(6, 5)
        self.principal = Principal(architecture, GAME).double()
        for weight in self.principal.parameters():
            weight.data += 0.2 * torch.randn_like(weight)
        self.inner_loop = adaptation.build(self.principal.weights()).double()
        self.objective = Objective(**{"inner_policy_weight": 1.0} | objective)
        self.engine: Engine = AUTO
        self.parameters = {
            **dict(self.principal.named_parameters()),
            **dict(self.inner_loop.named_parameters()),
        }

    def __call__(self, indices, num_query_episodes: int = 2, progress: float = 0.3) -> MetaStep:
        return meta_step(
            self.principal,
            self.inner_loop,
            self.objective,
            sample(indices),
            num_query_episodes=num_query_episodes,
            progress=progress,
            engine=self.engine,
        )

    def gradients(self, indices) -> dict[str, torch.Tensor]:
        gradients = torch.autograd.grad(self(indices).loss, list(self.parameters.values()))
        return dict(zip(self.parameters, gradients, strict=True))


def support_of(learner: Learner, num_episodes: int) -> Trajectory:
    player = LearnedPlayer(learner.principal, learner.principal.weights())
    return rollout(sample(range(3)), player, GAME, stream=Stream.SUPPORT, num_episodes=num_episodes)
