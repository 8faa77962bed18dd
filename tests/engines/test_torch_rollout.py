"""A captured rollout, with a capture that needs no GPU: it plays its own stage again."""

from dataclasses import fields

import torch

from mermaide_pl.agents import UCB, EpsilonGreedy, GaussianThompson
from mermaide_pl.engines.torch_rollout import Record, Replays, Stage, play
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import Architecture, GreedyPlayer, LearnedPlayer, Oracle, Principal

GAME = Game(4, 20, (0.0, 0.5, 1.0), observation=FullInformation(0.2, 0.3))
FAMILY = AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})
OPTIONS = {"num_episodes": 3, "same_luck": False}


class OwnObservation(FullInformation):
    """Might do anything."""


class Captured:
    """Counts captures and replays."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def __call__(self, stage: Stage):
        self.captures += 1
        record = play(stage)

        @torch.inference_mode()
        def replay() -> None:
            self.replays += 1
            again = play(stage)
            for item in fields(Record):
                getattr(record, item.name).copy_(getattr(again, item.name))

        return record, replay


def sample(indices, families=(FAMILY,)):
    population = Population(list(families), num_arms=4)
    return population.sample(indices, split="train").to("cpu", torch.float64)


def principal() -> Principal:
    torch.manual_seed(0)
    built = Principal(Architecture(6, 5), GAME, kernel="torch").double()
    built.policy.policy_out_weight.data.normal_()
    return built


def fast_weights(built: Principal, num_tasks: int) -> dict:
    return {
        name: weight + 0.3 * torch.randn(num_tasks, *weight.shape, dtype=weight.dtype)
        for name, weight in built.weights().items()
    }


def assert_same(actual: Record, expected: Record) -> None:
    for item in fields(Record):
        assert torch.equal(getattr(actual, item.name), getattr(expected, item.name)), item.name


def test_replays_play_other_tasks_weights_and_streams():
    capture, built = Captured(), principal()
    replays = Replays(capture)
    for number, stream in enumerate(("support", "query", "support")):
        tasks = sample(range(5 * number, 5 * number + 5))
        before = tasks.base_rewards.clone()
        player = LearnedPlayer(built, fast_weights(built, 5))
        record = replays.play(tasks, player, GAME, stream=stream, **OPTIONS)
        assert_same(record, play(Stage(tasks, player, GAME, stream=stream, **OPTIONS)))
        assert not any(getattr(record, item.name).is_inference() for item in fields(Record))
        assert torch.equal(tasks.base_rewards, before)
    assert (capture.captures, capture.replays) == (1, 3)


def test_a_record_is_not_overwritten_by_the_next_replay():
    built, replays = principal(), Replays(Captured())
    player = LearnedPlayer(built, built.weights())
    first = replays.play(sample(range(5)), player, GAME, stream="s", **OPTIONS)
    kept = first.arms.clone()
    second = replays.play(sample(range(5, 10)), player, GAME, stream="s", **OPTIONS)
    assert torch.equal(first.arms, kept)
    assert not torch.equal(second.arms, kept)


def test_another_kind_of_rollout_is_captured_anew():
    capture, built = Captured(), principal()
    replays = Replays(capture, most=4)
    player = LearnedPlayer(built, built.weights())

    def run(player=player, indices=range(5), family=FAMILY, game=GAME, **options):
        tasks = sample(indices, [family])
        return replays.play(tasks, player, game, stream="s", **{**OPTIONS, **options})

    runs = [
        {},
        {"player": GreedyPlayer(built, built.weights())},
        {"player": LearnedPlayer(built, fast_weights(built, 5))},
        {"indices": range(6)},
        {"num_episodes": 2},
        {"same_luck": True},
        {"family": AgentFamily(EpsilonGreedy)},
        {"family": AgentFamily(GaussianThompson)},
        {"game": Game(4, 21, (0.0, 0.5, 1.0), observation=GAME.observation)},
        {"game": Game(4, 20, (0.0, 0.5, 1.0))},
    ]
    for number, changed in enumerate(runs):
        run(**changed)
        run(**changed)
        assert capture.captures == number + 1
    run()  # long dropped
    assert capture.captures == len(runs) + 1


def test_only_rollouts_of_fixed_kernels_suit():
    built = principal()
    learned = LearnedPlayer(built, built.weights())
    assert Replays.suit(sample(range(3)), learned, GAME)
    assert not Replays.suit(sample(range(3)), Oracle(), GAME)
    mixed = sample(range(30), [FAMILY, AgentFamily(EpsilonGreedy)])
    assert not Replays.suit(mixed, learned, GAME)
    own = Game(4, 20, observation=OwnObservation())
    assert not Replays.suit(sample(range(3)), learned, own)
    own_principal = LearnedPlayer(torch.nn.Identity(), {})
    assert not Replays.suit(sample(range(3)), own_principal, GAME)


def test_the_first_rollout_may_be_in_inference_mode():
    built, replays = principal(), Replays(Captured())
    player, tasks = LearnedPlayer(built, built.weights()), sample(range(5))
    with torch.inference_mode():
        first = replays.play(tasks, player, GAME, stream="s", **OPTIONS)
    assert_same(replays.play(tasks, player, GAME, stream="s", **OPTIONS), first)
