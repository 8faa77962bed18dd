"""The universal principal: one set of weights, free of units, names of arms, and sizes."""

import math
from dataclasses import fields, replace
from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream, TorchEngine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, GameBatch, PartialInformation
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    LearnedPlayer,
    PrincipalOutput,
    UniversalArchitecture,
    sample_levels,
)

M, B = 3, 2
SEEDS = st.integers(0, 2**31)
FEW = settings(max_examples=25, deadline=None)


def principal_for(dtype: torch.dtype = torch.float64):
    torch.manual_seed(0)
    principal = UniversalArchitecture(6, 5, 4, 3).build(Game()).to(dtype)
    for weight in principal.parameters():
        weight.data.normal_(std=0.4)  # a policy with preferences
    return principal


PRINCIPAL = principal_for()


@st.composite
def games(draw, observations=(FullInformation(), PartialInformation())) -> GameBatch:
    """A game for each of M tasks."""
    sizes = Game(
        num_arms=draw(st.sampled_from([2, 3, 7])),
        num_steps=draw(st.sampled_from([1, 6, 20])),
        observation=draw(st.sampled_from(observations)),
        endless=draw(st.booleans()),
    )
    generator = torch.Generator().manual_seed(draw(SEEDS))
    shape = M, draw(st.sampled_from([2, 3, 5]))
    bonuses = 0.05 + 2.0 * torch.rand(shape, generator=generator, dtype=torch.float64)
    bonuses[:, 0] = 0.0
    bonuses = bonuses.sort(1).values
    return GameBatch(
        sizes,
        bonuses=bonuses,
        cost=2.0 * torch.rand(M, generator=generator, dtype=torch.float64),
        max_interventions=torch.randint(2 * sizes.num_steps, (M,), generator=generator).double(),
    )


def recorded(game: GameBatch, seed: int) -> Trajectory:
    """Random arms, levels and rewards; the target is arm 0."""
    generator = torch.Generator().manual_seed(seed)
    shape = (M, B, game.num_steps)
    arms = torch.randint(game.num_arms, shape, generator=generator)
    rewards = torch.randn(shape, generator=generator, dtype=torch.float64)
    return Trajectory.of(
        game,
        torch.zeros(M, dtype=torch.long),
        arms=arms,
        levels=torch.randint(game.num_levels, shape, generator=generator),
        agent_rewards=rewards,
        observed_arms=arms,
        observed_agent_rewards=rewards * game.observation.sees_agent_rewards,
    )


def output_on(played: Trajectory, principal=PRINCIPAL) -> PrincipalOutput:
    return principal(principal.weights(), played)


def levels_of(output: PrincipalOutput, seed: int) -> tuple[Tensor, Tensor]:
    """Greedy and sampled levels."""
    logits = output.level_logits
    uniforms = torch.rand(logits.shape[:-1], generator=torch.Generator().manual_seed(seed))
    return logits.argmax(-1), sample_levels(logits, uniforms.to(logits))


def assert_same(output: PrincipalOutput, expected: PrincipalOutput, atol: float) -> None:
    for item in fields(PrincipalOutput):
        actual, other = getattr(output, item.name), getattr(expected, item.name)
        torch.testing.assert_close(actual, other, rtol=0.0, atol=atol)


@given(
    games([FullInformation()]),
    SEEDS,
    st.sampled_from([2.0**-9, 0.5, 4.0, 1024.0]) | st.floats(0.01, 100.0),
)
@FEW
def test_units_of_rewards_do_not_matter(game, seed, factor):
    played = recorded(game, seed)
    scaled = GameBatch(
        game.sizes,
        bonuses=factor * game.bonuses,
        cost=game.cost / factor,
        max_interventions=game.max_interventions,
    )
    rewards = factor * played.observed_agent_rewards
    scaled = replace(played, game=scaled, observed_agent_rewards=rewards)
    exact = math.frexp(factor)[0] == 0.5  # powers of two do not round
    output, other = output_on(played), output_on(scaled)
    assert_same(other, output, 0.0 if exact else 1e-9)
    for levels, expected in zip(levels_of(other, seed), levels_of(output, seed), strict=True):
        assert torch.equal(levels, expected)


@given(games(), SEEDS)
@FEW
def test_names_of_the_other_arms_do_not_matter(game, seed):
    played = recorded(game, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    others = 1 + torch.randperm(game.num_arms - 1, generator=generator)
    order = torch.cat([torch.tensor([0]), others])
    renamed = replace(played, observed_arms=order[played.observed_arms])
    output, other = output_on(played), output_on(renamed)
    assert_same(replace(other, arm_logits=other.arm_logits[..., order]), output, 1e-10)
    for levels, expected in zip(levels_of(other, seed), levels_of(output, seed), strict=True):
        assert torch.equal(levels, expected)


@given(games(), SEEDS)
@FEW
def test_games_and_weights_of_each_task_are_those_one_by_one(game, seed):
    played, weights = recorded(game, seed), PRINCIPAL.weights()
    together = output_on(played)
    fast = {name: weight.expand(M, *weight.shape) for name, weight in weights.items()}
    assert_same(PRINCIPAL(fast, played), together, 1e-12)
    for task in range(M):
        one = replace(
            game.sizes,
            bonuses=tuple(game.bonuses[task].tolist()),
            cost=game.cost[task].item(),
            max_interventions=int(game.max_interventions[task]),
        )
        rows = slice(task, task + 1)
        alone = replace(played.map(lambda record, rows=rows: record[rows]), game=one)
        expected = {
            item.name: getattr(together, item.name)[rows] for item in fields(PrincipalOutput)
        }
        assert_same(output_on(alone), PrincipalOutput(**expected), 1e-12)
        # the same game for all tasks, as one and as a batch
        same = replace(played, game=one), replace(played, game=GameBatch.of(one, M, game.cost))
        assert_same(*map(output_on, same), 1e-12)


def test_the_same_weights_play_games_of_every_size():
    principal = principal_for(torch.float32)
    for num_arms, num_levels, num_steps in product((2, 4, 10, 25), (2, 3, 5), (1, 7, 50)):
        bonuses = tuple(0.5 * level for level in range(num_levels))
        game = Game(num_arms, num_steps, bonuses, observation=FullInformation())
        tasks = Population([AgentFamily(UCB)], num_arms=num_arms).sample(range(2), split="train")
        player = LearnedPlayer(principal, principal.weights())
        options = {"num_episodes": 2, "engine": TorchEngine()}
        played = rollout(tasks, player, game, stream=Stream.SCORE, **options)
        output = output_on(played, principal)
        assert output.level_logits.shape == (2, 2, num_steps, num_levels)
        assert output.arm_logits.shape == (2, 2, num_steps, num_levels, num_arms)
        sum_of_all = sum(getattr(output, item.name).sum() for item in fields(PrincipalOutput))
        gradients = torch.autograd.grad(sum_of_all, list(principal.parameters()))
        assert all(part.isfinite().all() for part in (sum_of_all, *gradients))


@pytest.mark.parametrize("name", ["hidden_size", "policy_size", "critic_size", "forecast_size"])
def test_sizes_are_checked(name):
    with pytest.raises(ValueError, match=rf"UniversalArchitecture\.{name} .*got 0"):
        UniversalArchitecture(**{name: 0})
