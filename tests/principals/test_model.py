import math
from dataclasses import replace

import pytest
import torch

from mermaide_pl.agents import UCB
from mermaide_pl.engines import Stream, TorchEngine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import (
    Architecture,
    CountFeatures,
    GreedyPlayer,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoWorldModel,
    Principal,
    SharedForecast,
)

M, B, T, A = 3, 2, 8, 4
BONUSES = (0.0, 0.4, 1.0)
NOISY = FullInformation(arm_flip=0.2, reward_noise=0.3)
ARCHITECTURES = [
    pytest.param(Architecture(6, 5), PartialInformation(), id="default"),
    pytest.param(Architecture(6, 5), NOISY, id="noisy full information"),
    pytest.param(Architecture(6, 5, LastStep(), LinearForecast()), NOISY, id="last step, linear"),
    pytest.param(Architecture(6, 5, CountFeatures(), NoWorldModel()), NOISY, id="no world model"),
]


def build(architecture: Architecture, observation) -> tuple[Principal, Game]:
    game = Game(A, T, BONUSES, observation=observation)
    torch.manual_seed(0)
    principal = Principal(architecture, game).double()
    for weight in principal.parameters():  # a policy with preferences
        weight.data += 0.5 * torch.randn_like(weight)
    return principal, game


def sample_tasks():
    population = Population([AgentFamily(UCB, {"beta": 0.3})], num_arms=A)
    return population.sample(range(M), split="val").to("cpu", torch.float64)


def per_task(principal: Principal) -> dict[str, torch.Tensor]:
    """Fast weights, different for every task."""
    return {
        name: weight + 0.2 * torch.randn(M, *weight.shape, dtype=weight.dtype)
        for name, weight in principal.weights().items()
    }


@pytest.mark.parametrize("fast", [False, True], ids=["meta weights", "fast weights"])
@pytest.mark.parametrize(("architecture", "observation"), ARCHITECTURES)
def test_playing_gives_the_logits_of_the_forward_pass(architecture, observation, fast, monkeypatch):
    principal, game = build(architecture, observation)
    weights = per_task(principal) if fast else principal.weights()
    logits, forecasts, step = [], [], principal.step

    def recorded(*args):
        hidden, level_logits, arm_logits = step(*args)
        logits.append(level_logits)
        forecasts.append(arm_logits)
        return hidden, level_logits, arm_logits

    monkeypatch.setattr(principal, "step", recorded)
    player = LearnedPlayer(principal, weights)
    played = rollout(
        sample_tasks(), player, game, stream=Stream.SCORE, num_episodes=B, engine=TorchEngine()
    )
    assert len(played.levels.unique()) == len(BONUSES)
    output = principal(weights, played)
    level_logits, arm_logits = output.level_logits, output.arm_logits
    assert level_logits.std() > 0.1
    torch.testing.assert_close(torch.stack(logits, dim=2), level_logits, rtol=0.0, atol=1e-12)
    if arm_logits is None:
        assert set(forecasts) == {None}
    else:
        stacked = torch.stack(forecasts, dim=2)
        torch.testing.assert_close(stacked, arm_logits, rtol=0.0, atol=1e-12)


@pytest.mark.parametrize(("architecture", "observation"), ARCHITECTURES)
def test_expanded_meta_weights_are_meta_weights(architecture, observation):
    principal, game = build(architecture, observation)
    weights = principal.weights()
    player = LearnedPlayer(principal, weights)
    played = rollout(sample_tasks(), player, game, stream=Stream.SCORE, num_episodes=B)
    expanded = {name: weight.expand(M, *weight.shape) for name, weight in weights.items()}
    meta, fast = principal(weights, played), principal(expanded, played)
    for name in ("level_logits", "values", "arm_logits"):
        if getattr(meta, name) is not None:
            torch.testing.assert_close(
                getattr(meta, name), getattr(fast, name), rtol=0.0, atol=1e-12
            )


def test_each_task_sees_its_own_fast_weights():
    principal, game = build(Architecture(6, 5), PartialInformation())
    meta, fast = principal.weights(), per_task(principal)
    played = rollout(
        sample_tasks(), LearnedPlayer(principal, meta), game, stream=Stream.SCORE, num_episodes=B
    )
    stacked = principal(fast, played)
    for task in range(M):
        alone = principal({name: weight[task] for name, weight in fast.items()}, played)
        for name in ("level_logits", "values", "arm_logits"):
            torch.testing.assert_close(
                getattr(stacked, name)[task], getattr(alone, name)[task], rtol=0.0, atol=1e-12
            )


@pytest.mark.parametrize("world_model", [SharedForecast(), LinearForecast()])
def test_shapes_of_the_output(world_model):
    principal, game = build(Architecture(6, 5, world_model=world_model), PartialInformation())
    player = LearnedPlayer(principal, principal.weights())
    output = principal(
        principal.weights(),
        rollout(sample_tasks(), player, game, stream=Stream.SCORE, num_episodes=B),
    )
    assert output.level_logits.shape == (M, B, T, len(BONUSES))
    assert output.values.shape == (M, B, T)
    assert output.arm_logits.shape == (M, B, T, len(BONUSES), A)


def test_without_world_model_there_is_no_forecast():
    principal, game = build(Architecture(world_model=NoWorldModel()), PartialInformation())
    player = LearnedPlayer(principal, principal.weights())
    played = rollout(sample_tasks(), player, game, stream=Stream.SCORE, num_episodes=B)
    assert principal(principal.weights(), played).arm_logits is None
    assert not any(name.startswith("world_model.") for name in principal.weights())
    with_one, _ = build(Architecture(), PartialInformation())
    saved = with_one.policy.policy_in_weight.shape[1] - principal.policy.policy_in_weight.shape[1]
    assert saved == len(BONUSES)  # the chance of a target pull at each level


def test_the_policy_acts_through_the_forecast():
    principal, game = build(Architecture(6, 5), PartialInformation())
    weights = principal.weights()
    played = rollout(
        sample_tasks(), LearnedPlayer(principal, weights), game, stream=Stream.SCORE, num_episodes=B
    )
    logits = principal(weights, played).level_logits
    (gradient,) = torch.autograd.grad(logits.square().sum(), weights["world_model.out_weight"])
    assert gradient.abs().max() > 1e-3


def test_the_policy_sees_the_chance_of_a_target_pull_at_each_level():
    architecture = Architecture(6, policy_size=1, world_model=LinearForecast())
    principal, game = build(architecture, PartialInformation())
    weights = {name: torch.zeros_like(weight) for name, weight in principal.weights().items()}
    played = rollout(
        sample_tasks(), LearnedPlayer(principal, weights), game, stream=Stream.SCORE, num_episodes=B
    )
    forecast = torch.tensor([[0.1, 0.2, 0.3, 0.4], [0.6, 0.2, 0.1, 0.1], [0.9, 0.1, 0.0, 0.0]])
    weights["world_model.arm_bias"] = (forecast.double() + 1e-30).log().flatten()
    weights["policy.policy_in_weight"][0, -3:] = torch.tensor([1.0, 2.0, -0.5]).double()
    weights["policy.policy_out_weight"][1, 0] = 2.0
    logits = principal(weights, played).level_logits
    expected = 2.0 * math.tanh(1.0 * 0.1 + 2.0 * 0.6 - 0.5 * 0.9)
    torch.testing.assert_close(logits[..., 1], torch.full_like(logits[..., 1], expected))
    assert (logits[..., [0, 2]] == 0.0).all()


def test_the_policy_looks_at_the_features_of_the_target_only():
    architecture = Architecture(6, 5, world_model=NoWorldModel())
    principal, game = build(architecture, PartialInformation())
    weights = principal.weights()
    name = "recurrence.weight_ih"
    weights[name] = torch.zeros_like(weights[name])  # nothing reaches the state
    played = rollout(
        sample_tasks(), LearnedPlayer(principal, weights), game, stream=Stream.SCORE, num_episodes=B
    )
    others = torch.where(played.observed_arms > 0, 1 + played.observed_arms % 3, 0)
    target = torch.zeros_like(played.observed_arms)

    def logits(observed_arms: torch.Tensor) -> torch.Tensor:
        return principal(weights, replace(played, observed_arms=observed_arms)).level_logits

    assert not torch.equal(others, played.observed_arms)
    torch.testing.assert_close(logits(others), logits(played.observed_arms))
    assert not torch.allclose(logits(target), logits(played.observed_arms))


def test_levels_are_sampled_from_the_policy():
    principal, game = build(Architecture(6, 5), PartialInformation())
    weights = {name: torch.zeros_like(weight) for name, weight in principal.weights().items()}
    policy = torch.tensor([0.2, 0.5, 0.3], dtype=torch.float64)
    weights["policy.policy_out_bias"] = policy.log()
    played = rollout(
        sample_tasks(),
        LearnedPlayer(principal, weights),
        game,
        stream=Stream.SCORE,
        num_episodes=2000,
    )
    frequencies = played.levels.flatten().bincount(minlength=3) / played.levels.numel()
    # 48000 draws, standard error at most 0.0023
    torch.testing.assert_close(frequencies.double(), policy, rtol=0.0, atol=0.008)


def test_a_greedy_principal_plays_its_most_probable_level():
    principal, game = build(Architecture(6, 5), PartialInformation())
    player = GreedyPlayer(principal, principal.weights())
    played = rollout(sample_tasks(), player, game, stream=Stream.SCORE, num_episodes=3)
    output = principal(principal.weights(), played)
    assert torch.equal(played.levels, output.level_logits.argmax(-1))


def test_a_new_principal_is_nearly_indifferent():
    torch.manual_seed(0)
    game = Game(A, T, BONUSES)
    principal = Principal(Architecture(), game).double()
    played = rollout(
        sample_tasks(),
        LearnedPlayer(principal, principal.weights()),
        game,
        stream=Stream.SCORE,
        num_episodes=B,
    )
    output = principal(principal.weights(), played)
    assert (output.level_logits.softmax(-1) - 1.0 / 3.0).abs().max() < 0.02


@pytest.mark.parametrize("field", ["hidden_size", "policy_size"])
def test_sizes_are_checked(field):
    with pytest.raises(ValueError, match=rf"Architecture\.{field} .*at least 1, got 0"):
        Architecture(**{field: 0})
