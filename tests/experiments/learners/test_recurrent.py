"""The recurrent model is a principal's world model, and learns what there is to learn."""

import math

import pytest
import torch

from mermaide_pl.experiments.learners.recurrent import Training, cross_validated, forecasts, train
from mermaide_pl.game import FullInformation, Game, Trajectory
from mermaide_pl.principals import Architecture, NoWorldModel, Principal
from mermaide_pl.principals.arm_forecast import ArmForecast

GAME = Game(3, 7, (0.0, 0.5, 1.0), observation=FullInformation())
TRAINING = Training(
    hidden_size=8, forecast_size=4, num_epochs=12, num_steps=1, batch_size=16, learning_rate=0.02
)


def stayers(choices_of, num_agents, stay=0.9, num_steps=40, seed=0):
    """Agents that repeat an arm with probability `stay` if it paid, else leave it with that."""
    generator = torch.Generator().manual_seed(seed)
    arms = torch.randint(2, (num_agents, 1), generator=generator)
    rewards = (torch.rand(num_agents, num_steps, generator=generator) < 0.5).double()
    for step in range(num_steps - 1):
        follows = torch.rand(num_agents, generator=generator) < stay
        leaves = (rewards[:, step] > 0) != follows
        arms = torch.cat([arms, (arms[:, -1] ^ leaves.long()).unsqueeze(1)], dim=1)
    return choices_of(arms.unsqueeze(1).tolist(), rewards.unsqueeze(1).tolist())


def test_its_forecast_is_that_of_a_principal_with_its_weights():
    torch.manual_seed(0)
    principal, architecture = Principal(Architecture(6, 5), GAME), Architecture(6, 5)
    model = ArmForecast(architecture, GAME)
    for weight in principal.parameters():
        weight.data.normal_(std=0.5)
    weights = principal.weights()
    model.load_state_dict({name: weights[name] for name in model.weights()})
    arms, levels, rewards = (
        torch.randint(3, (2, 4, 7)),
        torch.randint(3, (2, 4, 7)),
        torch.rand(2, 4, 7),
    )
    target = torch.zeros(2, dtype=torch.long)
    episodes = Trajectory.of(
        GAME,
        target,
        arms=arms,
        levels=levels,
        agent_rewards=rewards,
        observed_arms=arms,
        observed_agent_rewards=rewards,
    )
    output = principal(principal.weights(), episodes)
    logs = model(arms, levels, rewards).gather(-1, arms.unsqueeze(-1)).squeeze(-1)
    torch.testing.assert_close(logs, output.log_arms)
    with pytest.raises(ValueError, match="needs an architecture with a world model"):
        ArmForecast(Architecture(6, 5, world_model=NoWorldModel()), GAME)


def test_it_learns_to_win_stay_and_lose_shift(choices_of):
    """The entropy of a step is 0.325 nats if the follower errs once in ten, 0.693 in the first."""
    model = train(stayers(choices_of, 200), seed=0, training=TRAINING)
    unseen = stayers(choices_of, 100, seed=1)
    chances = forecasts(model, unseen).gather(2, unseen.arms.flatten(1).unsqueeze(2)).squeeze(2)
    entropy = -(0.9 * math.log(0.9) + 0.1 * math.log(0.1))
    assert -chances[:, 1:].log().mean().item() == pytest.approx(entropy, abs=0.04)


def test_an_agent_is_forecast_by_the_others_alone(choices_of):
    choices = stayers(choices_of, 12)
    training = Training(hidden_size=3, forecast_size=2, num_epochs=1, num_steps=1, batch_size=4)
    folds, told = torch.tensor([0, 1, 2] * 4), []
    found = cross_validated(choices, folds, 0, training, told.append)
    assert told == [1, 1, 1]
    torch.testing.assert_close(found.sum(-1), torch.ones(12, 40, dtype=torch.float64))
    choices.arms[folds == 1] = 1 - choices.arms[folds == 1]
    again = cross_validated(choices, folds, 0, training)
    assert again[folds == 1][:, 0].equal(found[folds == 1][:, 0])
    assert not again[folds == 2][:, 0].equal(found[folds == 2][:, 0])
