"""The game against numbers measured once with an independent script.

UCB agents, 10 arms, base rewards uniform on [0, 1], target uniform among the non-best arms, reward
noise 0.1, bonus 1, 200 steps. Those numbers come from 2000 agents, so they carry a standard error
of up to 0.007 themselves.
"""

import pytest

from mermaide_pl.agents import UCB, GaussianReward
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations import (
    AgentFamily,
    Population,
    TaskBatch,
    UniformRewards,
    UniformTarget,
)
from mermaide_pl.principals import (
    AlwaysIntervene,
    InitialBurst,
    NoIntervention,
    Periodic,
    Player,
)
from mermaide_pl.principals.grids import oracle_grid

GAME = Game(num_arms=10, num_steps=200, bonuses=(0.0, 1.0))
SCHEDULES = [
    NoIntervention(),
    AlwaysIntervene(),
    Periodic(4),
    InitialBurst(50),
    InitialBurst(100),
]
ALIGNMENT = {
    0.05: [0.020, 0.950, 0.138, 0.570, 0.826],
    0.17: [0.026, 0.943, 0.184, 0.533, 0.792],
    0.42: [0.049, 0.892, 0.182, 0.457, 0.697],
    0.67: [0.064, 0.813, 0.157, 0.376, 0.594],
    1.00: [0.077, 0.707, 0.142, 0.289, 0.479],
}
# of an oracle tuned on a coarser grid
ORACLE_RETURN = {
    0.05: {0.25: 0.81, 0.5: 0.69},
    0.17: {0.25: 0.77, 0.5: 0.63},
    0.42: {0.25: 0.68, 0.5: 0.53},
    0.67: {0.25: 0.60, 0.5: 0.45},
    1.00: {0.25: 0.50, 0.5: 0.37},
}


def agents(beta: float, num_tasks: int) -> TaskBatch:
    population = Population(
        [AgentFamily(UCB, {"beta": beta})],
        num_arms=10,
        base_rewards=UniformRewards(0.0, 1.0),
        target=UniformTarget(),
        reward_model=GaussianReward(0.1),
    )
    return population.sample(range(num_tasks), split="test")


def play(player: Player, tasks: TaskBatch) -> tuple[float, float]:
    """Mean alignment and intervention rate."""
    played = rollout(tasks, player, GAME, stream=Stream.SCORE, num_episodes=1)
    return played.alignment.mean().item(), played.intervention_rate.mean().item()


@pytest.mark.parametrize("beta", ALIGNMENT)
def test_alignment_under_fixed_schedules(beta):
    tasks = agents(beta, 4000)
    alignment = [play(player, tasks)[0] for player in SCHEDULES]
    assert alignment == pytest.approx(ALIGNMENT[beta], abs=0.02)


@pytest.mark.parametrize("beta", ORACLE_RETURN)
def test_return_of_the_tuned_oracle(beta):
    tasks = agents(beta, 2000)
    # the middle of the grid holds the optimum at these costs; the cost changes the score only
    middle = [oracle for oracle in oracle_grid() if 0.5 < oracle.kappa < 3.0]
    played = [play(oracle, tasks) for oracle in middle]
    for cost, expected in ORACLE_RETURN[beta].items():
        best = max(alignment - cost * rate for alignment, rate in played)
        assert expected - 0.02 <= best <= expected + 0.05
