"""A captured rollout, with a capture that needs no GPU: it plays its own inputs again."""

import copy
from dataclasses import replace

import torch

from mermaide_pl.agents import UCB, EpsilonGreedy, GaussianThompson
from mermaide_pl.engines import Stream, draw_noise
from mermaide_pl.engines.cuda_graphs import CudaGraphCache
from mermaide_pl.engines.torch_rollout import RolloutInputs, play
from mermaide_pl.game import FullInformation, Game
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import Architecture, GreedyPlayer, LearnedPlayer, Oracle, Principal

GAME = Game(4, 20, (0.0, 0.5, 1.0), observation=FullInformation(0.2, 0.3))
FAMILY = AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})
OPTIONS = {"num_episodes": 3, "common_random_numbers": False}


class OwnObservation(FullInformation):
    """An observation of a user, of which nothing is known."""


class Captured:
    """Counts captures and replays."""

    def __init__(self) -> None:
        self.captures = self.replays = 0

    def __call__(self, inputs: RolloutInputs):
        self.captures += 1
        record = play(inputs)

        @torch.inference_mode()
        def replay() -> None:
            self.replays += 1
            again = play(inputs)
            for item in Trajectory.records():
                getattr(record, item.name).copy_(getattr(again, item.name))

        return record, replay


def sample(indices, families=(FAMILY,)):
    population = Population(list(families), num_arms=4)
    return population.sample(indices, split="train").to("cpu", torch.float64)


def principal() -> Principal:
    torch.manual_seed(0)
    built = Principal(Architecture(6, 5), GAME).double()
    built.policy.policy_out_weight.data.normal_()
    return built


def fast_weights(built: Principal, num_tasks: int) -> dict:
    return {
        name: weight + 0.3 * torch.randn(num_tasks, *weight.shape, dtype=weight.dtype)
        for name, weight in built.weights().items()
    }


def noise_for(tasks, player, game=GAME, stream=Stream.SCORE, **options):
    return draw_noise(tasks, player, game, stream=stream, **{**OPTIONS, **options})


def assert_same(actual: Trajectory, expected: Trajectory) -> None:
    for item in Trajectory.records():
        assert torch.equal(getattr(actual, item.name), getattr(expected, item.name)), item.name


def test_replays_play_other_tasks_weights_and_streams():
    capture, built = Captured(), principal()
    replays = CudaGraphCache(capture)
    for number, stream in enumerate((Stream.SUPPORT, Stream.QUERY, Stream.SUPPORT)):
        tasks = sample(range(5 * number, 5 * number + 5))
        before = tasks.base_rewards.clone()
        player = LearnedPlayer(built, fast_weights(built, 5))
        noise = noise_for(tasks, player, stream=stream)
        record = replays.play(tasks, player, GAME, noise)
        assert_same(record, play(RolloutInputs(tasks, player, GAME, noise)))
        assert not any(getattr(record, item.name).is_inference() for item in Trajectory.records())
        assert torch.equal(tasks.base_rewards, before)
    assert (capture.captures, capture.replays) == (1, 3)


def test_a_record_is_not_overwritten_by_the_next_replay():
    built, replays = principal(), CudaGraphCache(Captured())
    player = LearnedPlayer(built, built.weights())
    tasks, others = sample(range(5)), sample(range(5, 10))
    first = replays.play(tasks, player, GAME, noise_for(tasks, player))
    kept = first.arms.clone()
    second = replays.play(others, player, GAME, noise_for(others, player))
    assert torch.equal(first.arms, kept)
    assert not torch.equal(second.arms, kept)


def test_another_kind_of_rollout_is_captured_anew():
    capture, built = Captured(), principal()
    replays = CudaGraphCache(capture, most=4)
    player = LearnedPlayer(built, built.weights())

    def run(player=player, indices=range(5), family=FAMILY, game=GAME, **options):
        tasks = sample(indices, [family])
        return replays.play(tasks, player, game, noise_for(tasks, player, game, **options))

    runs = [
        {},
        {"player": GreedyPlayer(built, built.weights())},
        {"player": LearnedPlayer(built, fast_weights(built, 5))},
        {"indices": range(6)},
        {"num_episodes": 2},
        {"common_random_numbers": True},
        {"family": AgentFamily(EpsilonGreedy)},
        {"family": AgentFamily(GaussianThompson)},
        {"game": Game(4, 21, (0.0, 0.5, 1.0), observation=GAME.observation)},
        {"game": replace(GAME, observation=FullInformation(0.2, 0.4))},
        {"game": replace(GAME, max_interventions=3)},
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
    assert CudaGraphCache.suits(sample(range(3)), learned, GAME)
    assert not CudaGraphCache.suits(sample(range(3)), Oracle(), GAME)
    mixed = sample(range(30), [FAMILY, AgentFamily(EpsilonGreedy)])
    assert not CudaGraphCache.suits(mixed, learned, GAME)
    own = Game(4, 20, observation=OwnObservation())
    assert not CudaGraphCache.suits(sample(range(3)), learned, own)
    own_principal = LearnedPlayer(torch.nn.Identity(), {})
    assert not CudaGraphCache.suits(sample(range(3)), own_principal, GAME)


def test_the_first_rollout_may_be_in_inference_mode():
    built, replays = principal(), CudaGraphCache(Captured())
    player, tasks = LearnedPlayer(built, built.weights()), sample(range(5))
    with torch.inference_mode():
        first = replays.play(tasks, player, GAME, noise_for(tasks, player))
    assert_same(replays.play(tasks, player, GAME, noise_for(tasks, player)), first)


def test_a_copy_begins_empty():
    capture, built = Captured(), principal()
    replays = CudaGraphCache(capture)
    player, tasks = LearnedPlayer(built, built.weights()), sample(range(5))
    replays.play(tasks, player, GAME, noise_for(tasks, player))
    again = copy.deepcopy(replays)
    again.play(tasks, player, GAME, noise_for(tasks, player))
    assert (capture.captures, again._capture.captures) == (1, 2)
