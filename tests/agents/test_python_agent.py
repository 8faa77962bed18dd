import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
from multiprocessing.connection import Connection
from pathlib import Path

import pytest
import torch

from mermaide_pl.agents import UCB, PythonAgent, workers
from mermaide_pl.agents.learners import LearnerSpec
from mermaide_pl.agents.workers import in_workers
from mermaide_pl.config import serialization as spec
from mermaide_pl.config.serialization import describe, rebuild
from mermaide_pl.engines import Stream, TorchEngine
from mermaide_pl.engines.cuda_graphs import CudaGraphCache
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.meta_learning import GradientAdaptation, Objective
from mermaide_pl.meta_learning.meta_step import meta_step
from mermaide_pl.populations import AgentFamily, Interval, Population, TaskBatch
from mermaide_pl.principals import (
    AlwaysIntervene,
    Architecture,
    LearnedPlayer,
    Oracle,
    Principal,
    Weights,
)

GAME = Game(num_arms=3, num_steps=12)


class Greedy:
    """Random now and then, else the best mean."""

    def __init__(self, n_arms: int, seed: int, epsilon: float = 0.3):
        self.random = random.Random(seed)
        self.seed, self.epsilon = seed, epsilon
        self.counts, self.sums = [0] * n_arms, [0.0] * n_arms
        self.asked = 0

    def act(self) -> int:
        self.asked += 1
        if self.random.random() < self.epsilon:
            return self.random.randrange(len(self.counts))
        means = [total / max(count, 1) for total, count in zip(self.sums, self.counts, strict=True)]
        return means.index(max(means))

    def learn(self, arm: int, reward: float) -> None:
        self.counts[arm] += 1
        self.sums[arm] += reward


class Fails(Greedy):
    def learn(self, arm: int, reward: float) -> None:
        super().learn(arm, reward)
        if sum(self.counts) == 5:
            raise RuntimeError("tired\nof it")


class OutOfRange(Greedy):
    def act(self) -> int:
        return 3 if sum(self.counts) == 2 else 0


class Fractional(Greedy):
    def act(self) -> float:
        return 0.5


class CannotLearn:
    def __init__(self, n_arms: int, seed: int):
        pass

    def act(self) -> int:
        return 0


def python_agents(factory=Greedy, num_workers=0, **hyper_parameters) -> AgentFamily:
    return AgentFamily(PythonAgent(factory, num_workers), hyper_parameters)


def mixed(**options) -> Population:
    ucb = AgentFamily(UCB, {"beta": 0.3})
    return Population([python_agents(epsilon=[0.1, 0.9], **options), ucb], num_arms=3)


def play(tasks: TaskBatch, player=None, **options):
    options = {"stream": Stream.SCORE, "num_episodes": 2} | options
    return rollout(tasks, player or AlwaysIntervene(), GAME, **options)


def is_python(tasks: TaskBatch) -> torch.Tensor:
    rows = [family.rows for family in tasks.families if not isinstance(family.rule, UCB)]
    return torch.isin(torch.arange(len(tasks)), torch.cat(rows))


def test_every_episode_has_a_learner_that_sees_its_own_rewards():
    made = []

    def factory(n_arms, seed):
        made.append(Greedy(n_arms, seed))
        return made[-1]

    population = Population([python_agents(factory)], num_arms=3)
    made.clear()  # the trial
    played = play(population.sample(range(4), split="test"))
    assert len(made) == 4 * 2 and len({learner.seed for learner in made}) == 8
    arms, rewards = played.arms.flatten(0, 1), played.agent_rewards.flatten(0, 1)
    for learner, own_arms, own_rewards in zip(made, arms, rewards, strict=True):
        assert 0 <= learner.seed < 2**31
        alone = Greedy(3, learner.seed)
        for arm, reward in zip(own_arms.tolist(), own_rewards.tolist(), strict=True):
            assert alone.act() == arm
            alone.learn(arm, reward)
        assert alone.sums == learner.sums


def test_an_agent_is_the_same_in_any_batch():
    population = mixed()
    together = play(population.sample(range(8), split="test"))
    for index in range(8):
        alone = play(population.sample([index], split="test"))
        torch.testing.assert_close(alone.arms[0], together.arms[index], rtol=0, atol=0)


def test_other_families_in_the_batch_are_left_alone():
    tasks = mixed().sample(range(8), split="test")
    ucb = [family for family in tasks.families if isinstance(family.rule, UCB)]
    rows = ucb[0].rows
    assert 0 < len(rows) < 8
    only = TaskBatch(
        [tasks.seeds[row] for row in rows],
        [type(ucb[0])(ucb[0].rule, torch.arange(len(rows)))],
        tasks.base_rewards[rows],
        tasks.target_arm[rows],
        tasks.reward_model,
    )
    mine = play(only, engine=TorchEngine()).arms
    torch.testing.assert_close(play(tasks).arms[rows], mine, rtol=0, atol=0)


@pytest.mark.slow
def test_workers_change_nothing():
    seeds = range(7)  # does not divide among two
    alone = play(mixed().sample(seeds, split="test"))
    shared = play(mixed(num_workers=2).sample(seeds, split="test"))
    torch.testing.assert_close(shared.arms, alone.arms, rtol=0, atol=0)
    failing = Population([python_agents(Fails, 2)], num_arms=3).sample(range(3), split="val")
    with pytest.raises(ValueError, match="Fails, val task 0, step 4: learn"):
        play(failing)
    again = play(mixed(num_workers=2).sample(seeds, split="test"))
    torch.testing.assert_close(again.arms, alone.arms, rtol=0, atol=0)


def test_a_learner_is_asked_once_a_step_even_by_an_oracle():
    made = []

    def factory(n_arms, seed):
        made.append(Greedy(n_arms, seed))
        return made[-1]

    tasks = Population([python_agents(factory)], num_arms=3).sample(range(3), split="test")
    made.clear()
    play(tasks, Oracle(1.0, 2.0))
    assert {learner.asked for learner in made} == {GAME.num_steps}


def test_common_random_numbers_are_the_same_seed():
    seeds = []

    def factory(n_arms, seed):
        seeds.append(seed)
        return Greedy(n_arms, seed)

    tasks = Population([python_agents(factory)], num_arms=3).sample(range(2), split="test")
    seeds.clear()
    play(tasks, common_random_numbers=True)
    assert seeds[0] == seeds[1] != seeds[2] == seeds[3]


def test_hyper_parameters_reach_the_factory():
    seen, trials = set(), []

    def factory(n_arms, seed, epsilon, **rest):
        trials.append((n_arms, rest["window"]))
        seen.add((epsilon, rest["width"]))
        return Greedy(n_arms, seed, epsilon)

    family = python_agents(factory, epsilon=[0.25, 0.5], width=Interval(1.0, 2.0), window=[2.0])
    population = Population([family], num_arms=3)
    assert {arms for arms, *_ in trials} == {3}
    seen.clear()
    play(population.sample(range(6), split="test"))
    assert {epsilon for epsilon, _ in seen} == {0.25, 0.5}
    assert {type(window) for _, window in trials} == {int}
    assert len(seen) == 6 and all(1.0 <= width <= 2.0 for _, width in seen)


def test_learned_from_in_one_batch_with_others():
    principal = Principal(Architecture(hidden_size=4, policy_size=4), GAME)
    loop = GradientAdaptation().build(principal.weights())
    tasks = mixed().sample(range(4), split="train")
    assert is_python(tasks).any() and not is_python(tasks).all()
    step = meta_step(principal, loop, Objective(), tasks, num_query_episodes=2)
    step.loss.backward()
    weights: Weights = principal.weights()
    assert all(weight.grad.isfinite().all() for weight in weights.values())


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (
            Fails,
            r"Fails, test task 7, step 4: learn\(.*\) failed: RuntimeError: tired of it \(test_py",
        ),
        (OutOfRange, "test task 7, step 2: act.. returned 3, allowed: a whole number from 0 to 2"),
    ],
)
def test_an_error_names_the_learner_the_task_and_the_step(factory, message):
    tasks = Population([python_agents(factory)], num_arms=3).sample([7], split="test")
    with pytest.raises(ValueError, match=message) as raised:
        play(tasks)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (lambda: python_agents(Fractional), r"act\(\) returned 0.5, allowed: a whole number"),
        (lambda: python_agents(CannotLearn), r"has no method learn\(\)"),
        (lambda: python_agents(lambda n_arms: 1), r"cannot be made by factory\(3, 0\): TypeError"),
        (lambda: python_agents(Greedy, beta=1.0), "no hyper-parameter 'beta', allowed: epsilon"),
        (lambda: python_agents("nowhere.Greedy"), "'nowhere.Greedy' cannot be imported"),
        (lambda: python_agents("random.Nothing"), "'random.Nothing' cannot be imported"),
        (lambda: python_agents("Greedy"), "must be an import path such as my_module.MyLearner"),
        (
            lambda: python_agents("math.pi"),
            "'math.pi' cannot be called",
        ),
        (lambda: python_agents(3), r"factory 3 cannot be called"),
        (lambda: python_agents(Greedy, -1), "num_workers must be a whole number, at least 0"),
        (lambda: python_agents(lambda a, b: 1, 1), "cannot be imported, as num_workers = 1 needs"),
        (lambda: python_agents(Greedy, epsilon=1e39), r"epsilon must be .*float32 limit"),
        (lambda: AgentFamily(), "needs either a rule or a factory"),
        (lambda: AgentFamily(UCB, factory=Greedy), "needs either a rule or a factory"),
        (lambda: AgentFamily(UCB, num_workers=1), "num_workers is allowed with a factory only"),
    ],
)
def test_a_learner_that_cannot_be_is_refused_at_once(family, message):
    with pytest.raises(ValueError, match=message):
        Population([family()], num_arms=3)


def test_a_factory_is_a_python_agent():
    family = AgentFamily(factory=Greedy, num_workers=2)
    assert family == AgentFamily(PythonAgent(Greedy, 2)) != AgentFamily(PythonAgent(Greedy))


def test_a_population_of_ones_own_survives_a_checkpoint():
    population = mixed()
    again = rebuild(describe(population))
    assert again == population
    tasks, same = (one.sample(range(5), split="test") for one in (population, again))
    torch.testing.assert_close(play(tasks).arms, play(same).arms, rtol=0, atol=0)


@pytest.mark.parametrize(
    "factory", ["os.system", {"type": "subprocess.Popen"}, {"callable": "os.system"}]
)
def test_a_checkpoint_does_not_choose_what_code_runs(factory):
    described = describe(PythonAgent(Greedy))
    described["init_args"]["factory"] = factory
    with pytest.raises(ValueError, match="which is not part of mermaide_pl: load a population"):
        rebuild(described)


def test_code_that_nobody_has_named_is_refused(monkeypatch):
    described = describe(PythonAgent(Greedy))
    monkeypatch.setattr(spec, "_NAMED", {})
    with pytest.raises(ValueError, match=r"it needs .*\.Greedy, which is not part"):
        rebuild(described)


@pytest.mark.parametrize("slot", ["surrogate", "advantages"])
def test_nor_does_it_by_what_a_family_is_made_with(slot, monkeypatch):
    imported = []
    monkeypatch.setattr("mermaide_pl.agents.python_agent.import_factory", imported.append)
    family = describe(AgentFamily(UCB)) | {"init_args": {"factory": "os.kill"}}
    with pytest.raises(ValueError, match="AgentFamily' has no field 'factory'"):
        rebuild(describe(Objective()) | {"init_args": {slot: family}})
    assert imported == []


def test_its_rollouts_are_not_captured_as_kernels():
    tasks = Population([python_agents()], num_arms=3).sample(range(2), split="test")
    principal = Principal(Architecture(4, 4), GAME)
    assert not CudaGraphCache.suits(tasks, LearnedPlayer(principal, principal.weights()), GAME)


@pytest.mark.slow
def test_an_interrupted_rollout_leaves_no_answers_behind(monkeypatch):
    tasks = mixed(num_workers=2).sample(range(7), split="test")
    expected, receive, calls = play(tasks).arms, Connection.recv, itertools.count()

    def interrupted(connection):
        if next(calls) == 9:
            raise KeyboardInterrupt
        return receive(connection)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Connection, "recv", interrupted)
        play(tasks)
    torch.testing.assert_close(play(tasks).arms, expected, rtol=0, atol=0)


class PanicError(BaseException):
    """As a panic in Rust arrives."""


@pytest.mark.parametrize("method", ["__init__", "act", "learn"])
def test_a_panic_names_the_learner_the_task_and_the_step(method, monkeypatch):
    class Panics(Greedy):
        pass

    tasks = Population([python_agents(Panics)], num_arms=3).sample([7], split="test")

    def panic(*_):
        raise PanicError("index out of\nbounds")

    monkeypatch.setattr(Panics, method, panic)
    said = r"Panics, test task 7, step 0: .* PanicError: index out of bounds \(test_python_agent.py"
    with pytest.raises(ValueError, match=said):
        play(tasks)


@pytest.mark.parametrize("passed_on", [KeyboardInterrupt, GeneratorExit])
def test_an_interruption_is_no_mistake_of_a_learner(passed_on, monkeypatch):
    tasks = Population([python_agents(Fails)], num_arms=3).sample([7], split="test")

    def interrupted(*_):
        raise passed_on

    monkeypatch.setattr(Fails, "act", interrupted)
    with pytest.raises(passed_on):
        play(tasks)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda: os._exit(7), "ended with exit code 7"),
        (lambda: os._exit(0), "ended with exit code 0"),
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "was ended by SIGKILL (by a user, or"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), "was ended by SIGTERM"),
        (lambda: os._exit(78), "cannot run a script that starts without `if __name__"),
    ],
)
def test_the_end_of_a_worker_is_described(end, said):
    process = multiprocessing.get_context("fork").Process(target=end)
    process.start()
    assert workers._ending(process).startswith(said)


class Dies(Greedy):
    def learn(self, arm: int, reward: float) -> None:
        super().learn(arm, reward)
        if sum(self.counts) == 3:
            os._exit(7)


class Panicking(Greedy):
    def learn(self, arm: int, reward: float) -> None:
        raise PanicError("index out of bounds")


@pytest.mark.slow
def test_a_dead_worker_says_whose_and_how(capfd):
    specs = [
        LearnerSpec(Greedy, {}, "task 0"),
        LearnerSpec(Dies, {}, "task 1"),
        LearnerSpec(Dies, {}, "task 2"),
    ]
    learners = in_workers(2, specs, 3, [0, 1, 2])
    said = (
        r"^task 0 or one of 1 beside it, step 2: the worker process ended with exit code 7 in"
        r" learn\(\); num_workers = 0 shows more$"
    )
    with pytest.raises(ValueError, match=said):
        for _ in range(3):
            learners.act()
            learners.learn([0, 0, 0], [0.0, 0.0, 0.0])
    learners = in_workers(1, [LearnerSpec(Panicking, {}, "task 0")], 3, [0])
    learners.act()
    with pytest.raises(ValueError, match=r"task 0, step 0: learn.* PanicError: index out"):
        learners.learn([0], [0.0])
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_a_script_without_a_guard_is_told_so(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(
        "import random\n"
        "from mermaide_pl.agents.learners import LearnerSpec\n"
        "from mermaide_pl.agents.workers import in_workers\n"
        "in_workers(1, [LearnerSpec(random.Random, {}, 'task 0')], 3, [0])\n",
        encoding="utf-8",
    )
    command, root = [sys.executable, str(script)], Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    ran = subprocess.run(
        command, env=environment, capture_output=True, encoding="utf-8", check=False
    )
    assert ran.stderr.count("Traceback") == 1  # the script's own
    said = "the worker process cannot run a script that starts without `if __name__"
    assert said in ran.stderr.splitlines()[-1]
