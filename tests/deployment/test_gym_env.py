"""Both environments against the rollout, and against Gymnasium's own checks."""

import copy
import pickle
import runpy
import subprocess
import sys
import warnings
from dataclasses import replace

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode
from gymnasium.wrappers.vector import RecordEpisodeStatistics
from hypothesis import given, settings
from hypothesis import strategies as st

from mermaide_pl.agents import UCB, EpsilonGreedy, GaussianThompson
from mermaide_pl.deployment import gym_env as environments
from mermaide_pl.deployment.gym_env import ENVIRONMENT_ID, BanditEnv, BanditVectorEnv
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import CountFeatures, Player, RolloutContext

GAME = Game(4, 12, (0.0, 0.5, 1.0), cost=0.3, observation=FullInformation(0.2, 0.3))
POPULATION = Population(
    [AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}), AgentFamily(EpsilonGreedy)], num_arms=4
)


class Given(Player):
    """Plays levels that were fixed before, [M, T]."""

    def __init__(self, levels: np.ndarray) -> None:
        self.levels = torch.as_tensor(levels).unsqueeze(1)

    def start(self, context: RolloutContext) -> None:
        pass

    def act(self, step: int) -> torch.Tensor:
        return self.levels[..., step]

    def observe(self, levels, arms, agent_rewards) -> None:
        pass


def levels_for(num: int, game: Game = GAME) -> np.ndarray:
    return np.random.default_rng(num).integers(game.num_levels, size=(num, game.num_steps))


def played_in_vector(environment: BanditVectorEnv, levels: np.ndarray, **reset) -> dict:
    """One episode with each agent: returned values, stacked over time, [M, T, ...]."""
    features, infos = environment.reset(**reset)
    steps = [environment.step(actions) for actions in levels.T]
    shown, rewards, over, cut, later = zip(*steps, strict=True)
    assert not np.any(cut)
    return {
        "task": infos["task"],
        "features": np.stack([features, *shown], axis=1),
        "rewards": np.stack(rewards, axis=1),
        "over": np.stack(over, axis=1),
        "arms": np.stack([info["arm"] for info in later], axis=1),
        "aligned": np.stack([info["aligned"] for info in later], axis=1),
    }


def played_one_by_one(environment: BanditEnv, levels: np.ndarray, **reset) -> dict:
    features, info = environment.reset(**reset)
    steps = [environment.step(action) for action in levels]
    shown, rewards, over, cut, later = zip(*steps, strict=True)
    assert not any(cut)
    return {
        "task": np.array([info["task"]]),
        "features": np.stack([features, *shown])[None],
        "rewards": np.array([rewards]),
        "over": np.array([over]),
        "arms": np.array([[info["arm"] for info in later]]),
        "aligned": np.array([[info["aligned"] for info in later]]),
    }


def assert_same(actual: dict, expected: dict) -> None:
    assert actual.keys() == expected.keys()
    for name, values in expected.items():
        assert actual[name].dtype == values.dtype, name
        np.testing.assert_array_equal(actual[name], values, name)


# what is played


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_episode_is_the_rollout_of_its_tasks(split):
    levels = levels_for(7)
    environment = BanditVectorEnv(7, POPULATION, game=GAME, split=split)
    found = played_in_vector(environment, levels, seed=3)
    tasks = POPULATION.sample(found["task"].tolist(), split=split)
    assert len(tasks.families) == 2
    played = rollout(tasks, Given(levels), GAME, stream=Stream.SCORE, num_episodes=1)
    np.testing.assert_array_equal(found["arms"], played.arms[:, 0])
    np.testing.assert_array_equal(found["aligned"], played.aligned[:, 0])
    np.testing.assert_array_equal(found["rewards"], played.rewards[:, 0].double())
    assert 0.0 < found["aligned"].mean() < 1.0
    # features by hand: time, and pulls of the target as they were seen
    num_global, per_arm = CountFeatures().sizes(GAME)
    time = found["features"][..., GAME.num_levels]
    np.testing.assert_allclose(time, np.tile(np.arange(13) / 12, (7, 1)), rtol=1e-6)
    seen = (played.observed_arms[:, 0] == 0).numpy().cumsum(1)
    log_pulls = found["features"][:, 1:, num_global + 2]
    np.testing.assert_allclose(log_pulls, np.log1p(seen) / np.log1p(12), rtol=1e-5)
    assert found["features"].shape == (7, 13, num_global + per_arm * 4)


def test_one_vector_environment_is_the_single_one():
    single, vector = BanditEnv(POPULATION, game=GAME), BanditVectorEnv(1, POPULATION, game=GAME)
    for reset in ({"seed": 5}, {}, {"seed": 6}):
        levels = levels_for(1)
        found = played_one_by_one(single, levels[0], **reset)
        assert_same(found, played_in_vector(vector, levels, **reset))
        assert found["over"].tolist() == [[False] * 11 + [True]]


def test_agents_behave_the_same_alone_and_side_by_side():
    levels, seeds = levels_for(3), [8, 5, 6]
    vector = BanditVectorEnv(3, POPULATION, game=GAME)
    together = played_in_vector(vector, levels, seed=seeds)
    single = BanditEnv(POPULATION, game=GAME)
    for row, seed in enumerate(seeds):
        alone = played_one_by_one(single, levels[row], seed=seed)
        assert_same(alone, {name: values[row : row + 1] for name, values in together.items()})


def test_every_reset_meets_other_agents_and_equal_seeds_meet_equal_ones():
    vector = BanditVectorEnv(4, POPULATION, game=GAME)

    def drawn(**reset) -> list[int]:
        return vector.reset(**reset)[1]["task"].tolist()

    first, second, other, again = drawn(seed=1), drawn(), drawn(seed=2), drawn(seed=1)
    assert first == again and drawn() == second
    assert len({*first, *second, *other}) == 12


def test_the_step_after_the_end_ignores_its_actions_and_meets_others():
    vector, twin = (BanditVectorEnv(4, POPULATION, game=GAME) for _ in range(2))
    levels = levels_for(4)
    assert vector.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    ended = played_in_vector(vector, levels, seed=1)
    features, rewards, over, cut, infos = vector.step(levels[:, 0])
    twin.reset(seed=1)
    expected, begun = twin.reset()
    np.testing.assert_array_equal(features, expected)
    assert infos["task"].tolist() == begun["task"].tolist() != ended["task"].tolist()
    assert not (rewards.any() or over.any() or cut.any())
    assert vector.step(levels[:, 0])[4]["task"].tolist() == begun["task"].tolist()


def test_an_explicit_reset_after_the_end_takes_the_place_of_the_automatic_one():
    vector = BanditVectorEnv(4, POPULATION, game=GAME)
    played_in_vector(vector, levels_for(4), seed=1)
    _, begun = vector.reset()
    assert vector.step(levels_for(4)[:, 0])[4]["task"].tolist() == begun["task"].tolist()


# what Gymnasium says


@pytest.mark.parametrize("game", [GAME, replace(GAME, observation=PartialInformation())])
def test_gymnasium_finds_nothing_wrong(game):
    environment = gymnasium.make(ENVIRONMENT_ID, population=POPULATION, game=game)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if game.observation.sees_agent_rewards:
            warnings.filterwarnings("ignore", message=".*infinity")  # rewards have no bounds
        check_env(environment.unwrapped)


def test_the_vector_environment_is_as_gymnasiums_own():
    """Spaces, types, shapes, keys and the reset after the end, as those of `SyncVectorEnv`."""
    settings = {"num_envs": 3, "population": POPULATION, "game": GAME}
    ours = gymnasium.make_vec(ENVIRONMENT_ID, vectorization_mode="vector_entry_point", **settings)
    theirs = gymnasium.make_vec(ENVIRONMENT_ID, vectorization_mode="sync", **settings)
    assert isinstance(ours, BanditVectorEnv)
    for name in ("observation_space", "action_space", "single_observation_space"):
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.metadata["autoreset_mode"] is theirs.metadata["autoreset_mode"]
    mine, other = ours.reset(seed=1), theirs.reset(seed=1)
    for _ in range(2 * GAME.num_steps + 3):
        assert mine[0] in ours.observation_space and mine[0].dtype == other[0].dtype
        assert mine[-1].keys() == other[-1].keys()
        for key, values in other[-1].items():
            assert (mine[-1][key].dtype, mine[-1][key].shape) == (values.dtype, values.shape)
        for found, expected in zip(mine[1:-1], other[1:-1], strict=True):
            assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        for found, expected in zip(mine[2:-1], other[2:-1], strict=True):  # the ends
            np.testing.assert_array_equal(found, expected)
        actions = ours.action_space.sample()
        mine, other = ours.step(actions), theirs.step(actions)


def same(mine: tuple, other: tuple) -> None:
    """True if two vector environments returned the same, types included."""
    for found, expected in zip(mine[:-1], other[:-1], strict=True):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    assert_same(mine[-1], other[-1])


@pytest.mark.parametrize("limit", [None, -1, 5, GAME.num_steps, 100])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_it_is_gymnasiums_own_with_lists_of_seeds_masks_and_limits(mode, limit):
    num, random = 4, np.random.default_rng(0)
    settings = {"num_envs": num, "population": POPULATION, "game": GAME, "render_mode": None}
    ours, theirs = (
        gymnasium.make_vec(
            ENVIRONMENT_ID, vectorization_mode=one, max_episode_steps=limit, **settings
        )
        for one in ("vector_entry_point", mode)
    )
    seeds = [3, 11, 3, 2**40]
    same(ours.reset(seed=seeds), theirs.reset(seed=seeds))
    truncated = 0
    for step in range(60):
        actions = random.integers(GAME.num_levels, size=num)
        mine = ours.step(actions)
        same(mine, theirs.step(actions))
        truncated += mine[3].sum()
        if step % 7 == 3:
            mask = random.random(num) < 0.5
            mask[random.integers(num)] = True
            seeds = [
                None if number > 50 else number
                for number in random.integers(100, size=num).tolist()
            ]
            options = [{"reset_mask": mask.copy()} for _ in range(2)]  # theirs takes it out
            pair = zip((ours, theirs), options, strict=True)
            same(*(one.reset(seed=seeds, options=given) for one, given in pair))
            assert "reset_mask" in options[0]
    assert bool(truncated) == (limit in (5, GAME.num_steps))
    for one in (ours, theirs):
        one.close()
        one.close()


def test_a_seed_takes_the_place_of_lists_of_seeds():
    first, second = (BanditVectorEnv(3, POPULATION, game=GAME) for _ in range(2))
    first.reset(seed=[4, 5, 6])
    for one in (first, second):
        one.reset(seed=7)
    assert first.reset()[1]["task"].tolist() == second.reset()[1]["task"].tolist()
    assert first.np_random_seed == 7


@pytest.mark.parametrize("make", [gymnasium.make, gymnasium.make_vec])
def test_nothing_is_drawn(make):
    environment = make(ENVIRONMENT_ID, render_mode=None)
    assert environment.render_mode is None and environment.metadata["render_modes"] == []
    environment.reset(seed=0)
    assert environment.unwrapped.render() is None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Gymnasium warns beforehand
        with pytest.raises(ValueError, match=r"render_mode must be None, .*, got 'human'"):
            make(ENVIRONMENT_ID, render_mode="human")


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_in_the_middle_goes_on_alike(copied):
    vector = BanditVectorEnv(3, POPULATION, game=GAME)
    vector.reset(seed=[1, None, 2])
    levels = levels_for(3)
    vector.step(levels[:, 0])
    vector.reset(options={"reset_mask": np.array([False, True, False])})
    twin = copied(vector)
    for step in range(2 * GAME.num_steps):
        actions = levels[:, step % GAME.num_steps]
        same(vector.step(actions), twin.step(actions))
    single = BanditEnv(POPULATION, game=GAME)
    single.reset(seed=1)
    single.step(1)
    twin = copied(single)
    for one in (single, twin):
        one.step(2)
    np.testing.assert_array_equal(single.step(0)[0], twin.step(0)[0])
    assert single.reset()[1] == twin.reset()[1]


def test_what_was_returned_stays_as_it_was():
    vector = BanditVectorEnv(2, POPULATION, game=GAME)
    answers = [vector.reset(seed=0), *(vector.step(levels) for levels in levels_for(2).T)]
    kept = copy.deepcopy(answers)
    vector.step(np.zeros(2, dtype=int))
    for answer, before in zip(answers, kept, strict=True):
        same(answer, before)
    assert not np.shares_memory(answers[0][0], answers[1][0])


def test_a_time_limit_truncates():
    limited = gymnasium.make(ENVIRONMENT_ID, max_episode_steps=2, population=POPULATION, game=GAME)
    limited.reset(seed=0)
    assert [limited.step(0)[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_gymnasiums_wrappers_count_whole_episodes():
    counted = RecordEpisodeStatistics(BanditVectorEnv(4, POPULATION, game=GAME))
    levels = levels_for(4)
    expected = played_in_vector(BanditVectorEnv(4, POPULATION, game=GAME), levels, seed=1)
    counted.reset(seed=1)
    *_, infos = [counted.step(actions) for actions in levels.T][-1]
    np.testing.assert_allclose(infos["episode"]["r"], expected["rewards"].sum(1))
    assert infos["episode"]["l"].tolist() == [12] * 4


@pytest.mark.parametrize("prefix", ["", "mermaide_pl.deployment.gym_env:"])
def test_it_is_found_by_name(prefix):
    name = prefix + ENVIRONMENT_ID
    assert gymnasium.make(name).reset(seed=0)[0].shape == (77,)
    assert gymnasium.make_vec(name, num_envs=3).reset(seed=0)[0].shape == (3, 77)


def test_registering_twice_is_silent():
    spec = gymnasium.spec(ENVIRONMENT_ID)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        runpy.run_path(environments.__file__, run_name="again")
    assert gymnasium.spec(ENVIRONMENT_ID) is spec


def test_without_gymnasium_it_says_what_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'mermaide-pl\[gym\]'"):
        runpy.run_path(environments.__file__)


@pytest.mark.slow
def test_the_package_needs_no_gymnasium_and_gymnasium_imports_the_environment():
    code = (
        "import sys; sys.modules['gymnasium'] = None\n"
        "import mermaide_pl.cli.main; assert 'mermaide_pl.deployment.gym_env' not in sys.modules\n"
        "del sys.modules['gymnasium']; import gymnasium\n"
        "print(gymnasium.make('mermaide_pl.deployment.gym_env:mermaide/Bandit-v0').reset()[0].shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(77,)"


# the bounds of the observation


@settings(max_examples=60, deadline=None)
@given(
    num_steps=st.integers(1, 60),
    bonuses=st.lists(st.floats(0.01, 3.0), min_size=1, max_size=3).map(sorted),
    flip=st.sampled_from([0.0, 0.3, 1.0]),
    rates=st.sampled_from([(0.0, 1.0), (1.0, 0.0), (0.5, 0.5)]),
    seed=st.integers(0, 2**22 - 1),
)
def test_every_observation_lies_in_its_space(num_steps, bonuses, flip, rates, seed):
    game = Game(4, num_steps, (0.0, *bonuses), observation=PartialInformation(flip))
    environment = BanditVectorEnv(5, POPULATION, game=game)
    chances = [rates[0]] + [rates[1] / len(bonuses)] * len(bonuses)
    chances = np.array(chances) / sum(chances)
    levels = np.random.default_rng(seed).choice(len(chances), size=(5, num_steps), p=chances)
    found = played_in_vector(environment, levels, seed=seed)
    assert all(row in environment.observation_space for row in found["features"].swapaxes(0, 1))


def test_the_bounds_are_reached():
    game = Game(2, 40, (0.0, 0.7), observation=PartialInformation())
    low, high = CountFeatures().bounds(game)
    environment = BanditVectorEnv(64, replace(POPULATION, num_arms=2), game=game)
    found = played_in_vector(environment, np.ones((64, 40), dtype=int), seed=0)["features"]
    lowest, highest = found.min((0, 1)), found.max((0, 1))
    num_global, per_arm = CountFeatures().sizes(game)
    # the level played, time gone and left, bonuses offered and per pull, last arm, target
    named = [1, 2, 3, 5, 6, num_global, num_global + 1]
    np.testing.assert_allclose(highest[named], high[named], rtol=1e-4)
    assert lowest[num_global + per_arm + 1] == low[num_global + per_arm + 1] == 0.0


def test_rewards_of_the_agent_have_no_bounds():
    low, high = CountFeatures().bounds(GAME)
    num_global, per_arm = CountFeatures().sizes(GAME)
    free = [num_global - 1, *(num_global + per_arm * arm + per_arm - 1 for arm in range(4))]
    assert high.isinf().nonzero().flatten().tolist() == free
    assert torch.equal(low[free], -high[free])


# mistakes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"population": "nowhere.yaml"}, r"population nowhere\.yaml does not exist"),
        ({"population": POPULATION, "game": Game(5)}, r"agents have 4 arms, the game has 5"),
        ({"split": "training"}, r"split must be one of train, .*, got 'training'"),
        ({"num_envs": 0}, r"num_envs must be .* at least 1, got 0"),
        ({"num_envs": 2.5}, r"num_envs must be a whole number at least 1, got 2\.5"),
        ({"max_episode_steps": 0}, r"max_episode_steps must be a whole number at least 1, got 0"),
    ],
)
def test_what_cannot_be_played_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BanditVectorEnv(**arguments)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ([0, 3], r"actions must be from 0 to 2, got 0 to 3"),
        ([-1, 0], r"actions must be from 0 to 2, got -1 to 0"),
        ([0, 1, 1], r"actions must be 2 integers, got int64 of shape \(3,\)"),
        ([0.0, 1.0], r"actions must be 2 integers, got float64 of shape \(2,\)"),
    ],
)
def test_what_is_no_level_is_refused(actions, message):
    vector = BanditVectorEnv(2, POPULATION, game=GAME)
    vector.reset(seed=0)
    with pytest.raises(ValueError, match=message):
        vector.step(np.array(actions))


def test_no_step_without_an_episode():
    single, vector = BanditEnv(POPULATION, game=GAME), BanditVectorEnv(2, POPULATION, game=GAME)
    with pytest.raises(ResetNeeded, match="call reset"):
        single.step(0)
    with pytest.raises(ResetNeeded, match="call reset"):
        vector.step(np.zeros(2, dtype=int))
    played_one_by_one(single, levels_for(1)[0], seed=0)
    with pytest.raises(ResetNeeded, match="call reset"):
        single.step(0)


def test_options_are_refused():
    with pytest.raises(ValueError, match=r"unknown options speed, allowed: none"):
        BanditEnv(POPULATION).reset(options={"speed": 1})
    with pytest.raises(ValueError, match=r"unknown options speed, allowed: reset_mask alone"):
        BanditVectorEnv(2, POPULATION).reset(options={"speed": 1})


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seed": [1]}, r"seed must have 2 values, got 1"),
        ({"seed": [1, -1]}, r"seed\[1\] must be a whole number at least 0, got -1"),
        ({"seed": [1, 0.5]}, r"seed\[1\] must be a whole number at least 0, got 0.5"),
        ({"seed": -1}, r"[Ss]eed .*-1"),
        (
            {"options": {"reset_mask": np.array([True])}},
            r"must be 2 bools, .* bool of shape \(1,\)",
        ),
        ({"options": {"reset_mask": np.array([0, 1])}}, r"must be 2 bools.* int64 of shape \(2,\)"),
        ({"options": {"reset_mask": np.array([False, False])}}, r"at least one of them true"),
    ],
)
def test_a_reset_that_cannot_be_changes_nothing(given, message):
    vector, twin = (BanditVectorEnv(2, POPULATION, game=GAME) for _ in range(2))
    for one in (vector, twin):
        one.reset(seed=3)
    with pytest.raises((ValueError, gymnasium.error.Error), match=message) as caught:
        vector.reset(**given)
    assert "\n" not in str(caught.value)
    actions = np.array([1, 0])
    np.testing.assert_array_equal(vector.step(actions)[0], twin.step(actions)[0])
    assert vector.reset()[1]["task"].tolist() == twin.reset()[1]["task"].tolist()


def test_some_cannot_be_reset_before_all_were():
    with pytest.raises(ResetNeeded, match="call reset"):
        BanditVectorEnv(2, POPULATION).reset(options={"reset_mask": np.array([True, False])})


# what comes with it


def test_populations_come_from_files_and_by_default():
    by_path = BanditEnv("train_mixed", split="val")
    assert by_path.reset(seed=0)[0].shape == by_path.observation_space.shape == (77,)
    assert by_path.action_space.n == 2
    small = Population([AgentFamily(GaussianThompson)], num_arms=3)
    assert BanditEnv(small).reset(seed=0)[0].shape == (28,)
