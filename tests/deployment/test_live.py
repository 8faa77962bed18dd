import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import mermaide_pl.meta_learning.support
from mermaide_pl import LivePrincipal, MermaideModule
from mermaide_pl.agents import UCB
from mermaide_pl.config.input_paths import PRINCIPALS
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Budget, FullInformation, Game, PartialInformation
from mermaide_pl.game.trajectory import Trajectory, relabel_target_first
from mermaide_pl.meta_learning import (
    AdaptationWithinEpisodes,
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.support import play_support
from mermaide_pl.meta_learning.within_episode_player import player_of
from mermaide_pl.populations import AgentFamily, Interval, Population, TaskBatch
from mermaide_pl.principals import (
    Architecture,
    GreedyPlayer,
    LastStep,
    LearnedPlayer,
    LinearForecast,
    NoWorldModel,
)
from mermaide_pl.runtime.checkpoints import CHECKPOINT_KEY, read_checkpoint

A, T = 4, 6
PARTIAL, FULL = PartialInformation(), FullInformation(arm_flip=0.2, reward_noise=0.3)
MODULES = {
    "partial": {},
    "full": {"observation": FULL},
    "last step, linear": {"history": LastStep(), "world_model": LinearForecast()},
    "no world model": {"world_model": NoWorldModel()},
    "carried state": {"adaptation": GradientAdaptation(num_inner_steps=2, carries_state=True)},
    "two in a chain": {"adaptation": RecurrentAdaptation(num_shots=2)},
    "recurrent": {"adaptation": RecurrentAdaptation(), "observation": FULL},
}


def build(
    observation=PARTIAL, adaptation=GradientAdaptation(inner_lr=0.5), num_steps=T, **slots
) -> MermaideModule:
    """A small principal with strong preferences, computed by PyTorch."""
    torch.manual_seed(8)  # whose principals change their mind in every variant
    game = Game(A, num_steps, (0.0, 0.4, 1.0), observation=observation)
    objective = Objective(inner_policy_weight=1.0)
    architecture = Architecture(6, 5, **slots)
    module = MermaideModule(game, architecture, adaptation, objective, engine="torch")
    for weight in module.principal.parameters():
        weight.data += 0.7 * torch.randn_like(weight)
    policy = module.principal.policy
    policy.policy_out_bias.data.zero_()
    policy.policy_out_weight.data -= policy.policy_out_weight.mean(0)  # no level is always best
    return module


def sample(index: int, num_arms: int = A) -> TaskBatch:
    """One UCB agent."""
    population = Population([AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})], num_arms=num_arms)
    return population.sample([index], split="test")


def forecast_only(module: MermaideModule) -> MermaideModule:
    """The principal as it learns from levels that were not sampled."""
    if module.principal.world_model is not None:
        module.objective = replace(module.objective, inner_policy_weight=0.0)
    return module


def live_for(module: MermaideModule, task: TaskBatch, **settings) -> LivePrincipal:
    return LivePrincipal(module, target_arm=int(task.target_arm), **settings)


def drive(live: LivePrincipal, task: TaskBatch, recorded: Trajectory, episode: int = 0) -> list:
    """The levels that it plays if all else happens as recorded; ends the episode."""
    arms = relabel_target_first(recorded.observed_arms, task.target_arm)[0, episode].tolist()
    rewards = recorded.observed_agent_rewards[0, episode].tolist()
    levels = []
    for arm, reward in zip(arms, rewards, strict=True):
        levels.append(live.intervene())
        live.observe(arm, reward if live.game.observation.sees_agent_rewards else None)
    live.end_episode()
    return levels


def assert_same_weights(actual, expected) -> None:
    assert set(actual) == set(expected)
    for name, weight in expected.items():
        assert torch.equal(actual[name], weight), name


@pytest.mark.parametrize("slots", MODULES.values(), ids=MODULES)
def test_it_plays_and_adapts_as_in_evaluation(slots, monkeypatch):
    module, played = build(**slots), set()
    reference = forecast_only(build(**slots))
    # the support of evaluation, but played greedily
    monkeypatch.setattr(mermaide_pl.meta_learning.support, "LearnedPlayer", GreedyPlayer)
    for index in range(6):
        task = sample(index)
        live = live_for(module, task)
        for shots in range(3):
            if shots:
                loop = module.inner_loop
                support = play_support(module.principal, loop, task, shots)
                live = live_for(module, task)
                for episode in range(shots):
                    levels = drive(live, task, support, episode)
                    assert levels == support.levels[0, episode].tolist()
                    played.update(levels)
                    if loop.chain_length > 1:
                        live.adapt()  # continues from here
                assert live.adapt() == shots
            weights = reference.adapted_weights(task, shots)
            assert_same_weights(live._state.weights, weights)
            player = GreedyPlayer(module.principal, weights)
            query = rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=1)
            levels = drive(live, task, query)
            assert levels == query.levels[0, 0].tolist()
            played.update(levels)
    assert len(played) > 1


def in_pytorch(name):
    path = f"pretrained:{name}"
    return MermaideModule.from_checkpoint(read_checkpoint(path), path, engine="torch").eval()


@pytest.mark.parametrize("name", PRINCIPALS.names())
def test_pretrained_principals_play_as_in_a_rollout(name):
    module, played = forecast_only(in_pytorch(name)), set()
    for index in range(2):
        task = sample(index, num_arms=10)
        # a universal principal would play without a fixed end
        live = live_for(in_pytorch(name), task, num_steps=module.game.num_steps)
        weights = module.principal.weights()
        for stream in (Stream.SUPPORT, Stream.SCORE):
            player = GreedyPlayer(module.principal, weights)
            recorded = rollout(task, player, module.game, stream=stream, num_episodes=1)
            assert drive(live, task, recorded) == recorded.levels[0, 0].tolist()
            played.update(recorded.levels.flatten().tolist())
            live.adapt()
            if stream is Stream.SUPPORT:
                weights, _ = adapt(
                    module.principal, module.inner_loop, module.objective, recorded, module.engine
                )
                assert_same_weights(live._state.weights, weights)
    assert played == {0, 1}


@pytest.mark.parametrize("observation", [PARTIAL, FULL], ids=["partial", "full"])
def test_sampled_levels_are_those_of_a_rollout_of_that_name(observation):
    module = build(observation)
    task = sample(3)
    live = live_for(module, task, sampling_seed=task.seeds[0])
    player = LearnedPlayer(module.principal, module.principal.weights())
    recorded = []
    for episode in range(4):
        played = rollout(
            task, player, module.game, stream=Stream.LIVE, num_episodes=1, number=episode
        )
        assert drive(live, task, played) == played.levels[0, 0].tolist()
        recorded.append(played)
    assert len({tuple(played.levels.flatten().tolist()) for played in recorded}) > 1
    assert live.adapt() == 4
    together = Trajectory.joined(recorded)
    expected, _ = adapt(
        module.principal, module.inner_loop, module.objective, together, module.engine
    )
    assert_same_weights(live._state.weights, expected)


def test_levels_that_were_not_sampled_say_nothing_of_the_policy():
    """Its output layer has no part in the forecast, so only the policy's loss moves it."""
    module, task = build(), sample(3)
    player = GreedyPlayer(module.principal, module.principal.weights())
    played = rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=1)
    moved = []
    for seed in (None, 1):
        live = live_for(module, task, sampling_seed=seed)
        drive(live, task, played)
        live.adapt()
        weight = module.principal.policy.policy_out_weight
        moved.append(not torch.equal(live._state.weights["policy.policy_out_weight"][0], weight))
    assert moved == [False, True]


@pytest.mark.parametrize("observation", [PARTIAL, FULL], ids=["partial", "full"])
@pytest.mark.parametrize("shots", [0, 1])
def test_forecasts_are_those_of_the_forward_pass(observation, shots):
    module, task = build(observation).double(), sample(1).to("cpu", torch.float64)
    live, weights = live_for(module, task), module.principal.weights()
    if shots:
        player = LearnedPlayer(module.principal, weights)
        drive(live, task, rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=1))
        live.adapt()
        weights = live._state.weights
    player = GreedyPlayer(module.principal, weights)
    recorded = rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=1)
    expected = module.principal(weights, recorded).arm_logits[0, 0].softmax(-1)  # [T, L, A]
    target = int(task.target_arm)
    assert target != 0
    expected[..., [0, target]] = expected[..., [target, 0]]
    arms = relabel_target_first(recorded.observed_arms, task.target_arm)[0, 0].tolist()
    rewards = recorded.observed_agent_rewards[0, 0].tolist()
    for step in range(T):
        before = live.forecast()
        live.intervene()
        assert torch.equal(live.forecast(), before)
        assert before.shape == (3, A)
        assert not before.is_inference()
        torch.testing.assert_close(before, expected[step], rtol=0.0, atol=1e-12)
        live.observe(arms[step], rewards[step] if observation is FULL else None)


def test_episodes_that_ended_early_are_learned_from():
    module, task = build(), sample(2)
    player = GreedyPlayer(module.principal, module.principal.weights())
    recorded = rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=2)
    early = recorded.map(lambda record: record[..., :4])
    live = live_for(build(), task)
    for episode in range(2):
        drive(live, task, early, episode)
    assert live.adapt() == 2
    module = forecast_only(module)
    expected, _ = adapt(module.principal, module.inner_loop, module.objective, early, module.engine)
    assert_same_weights(live._state.weights, expected)


def test_the_budget_is_a_bound_for_each_episode():
    module = build()
    module.principal.policy.policy_out_bias.data = torch.tensor([-50.0, -60.0, 50.0])
    for seed in (None, 5):
        live = LivePrincipal(module, max_interventions=2, sampling_seed=seed)
        for _ in range(2):
            levels = []
            for _ in range(T):
                levels.append(live.intervene())
                live.observe(1)
            assert levels == [2, 2, 0, 0, 0, 0]
            live.end_episode()
    assert live.adapt() == 2
    assert LivePrincipal(module, max_interventions=0).intervene() == 0


@pytest.mark.parametrize(("given", "budget"), [(None, 2), (1, 1), (4, 4)])
def test_a_budget_takes_the_place_of_that_of_the_game(given, budget):
    module = build()
    module.principal.policy.policy_out_bias.data += torch.tensor([0.0, 50.0, 0.0])
    module.game = replace(module.game, max_interventions=2)
    live = LivePrincipal(module, max_interventions=given)
    for step in range(T):
        assert live.intervene() == (1 if step < budget else 0)
        live.observe(1)


@pytest.mark.parametrize("seed", [None, 3])
def test_it_keeps_to_budgets_as_in_a_rollout(seed, tmp_path):
    game = Game(
        A,
        T,
        (0.0, 1.0, 0.0, 1.0),
        observation=FULL,
        other_bonuses=(0.0, 0.0, 1.0, 1.0),
        target_budget=Budget(2, 3),
        other_budget=Budget(4, 4),
    )
    torch.manual_seed(8)
    module = MermaideModule(game, Architecture(6, 5), engine="torch")
    module.principal.policy.policy_out_weight.data.normal_()
    live, task = LivePrincipal(module, target_arm=2, sampling_seed=seed), sample(0)
    levels = []
    for step in range(T):
        levels.append(live.intervene())
        live.observe(step % A, float(step))
        live.save(tmp_path / "live.ckpt")
        live = LivePrincipal.load(tmp_path / "live.ckpt")
    spent = game.interventions_of(torch.tensor(levels), torch.zeros(())).sum(0).tolist()
    assert 2 <= spent[0] <= 3
    assert spent[1] == 4
    if seed is None:
        task.target_arm[:] = 2
        player = GreedyPlayer(module.principal, module.principal.weights())
        played = rollout(task, player, game, stream=Stream.SCORE, num_episodes=2)
        live = LivePrincipal(module, target_arm=2)
        assert drive(live, task, played) == played.levels[0, 0].tolist()


def test_learners_may_share_a_module():
    module, task = build(), sample(0)
    before = {name: weight.clone() for name, weight in module.state_dict().items()}
    one, other = live_for(module, task), live_for(module, task)
    player = GreedyPlayer(module.principal, module.principal.weights())
    recorded = rollout(task, player, module.game, stream=Stream.SCORE, num_episodes=1)
    drive(one, task, recorded)
    one.adapt()
    assert_same_weights(module.state_dict(), before)
    assert not torch.equal(one.forecast(), other.forecast())
    assert drive(other, task, recorded) == recorded.levels[0, 0].tolist()


def begun(live: LivePrincipal) -> LivePrincipal:
    live.intervene()
    return live


def ended(live: LivePrincipal, steps: int = T) -> LivePrincipal:
    for _ in range(steps):
        begun(live).observe(1)
    live.end_episode()
    return live


def finished(live: LivePrincipal) -> LivePrincipal:
    for _ in range(T):
        begun(live).observe(1)
    return live


MISTAKES = {
    "observe first": (lambda live: live.observe(1), "observe: call intervene first"),
    "observe twice": (
        lambda live: [begun(live).observe(1), live.observe(1)],
        "observe: call intervene first",
    ),
    "arm": (
        lambda live: begun(live).observe(A),
        r"observe: arm must be a whole number from 0 to 3, got 4",
    ),
    "negative arm": (lambda live: begun(live).observe(-1), "from 0 to 3, got -1"),
    "float arm": (lambda live: begun(live).observe(1.0), r"from 0 to 3, got 1\.0"),
    "bool arm": (lambda live: begun(live).observe(True), "from 0 to 3, got True"),
    "text arm": (lambda live: begun(live).observe("1"), "from 0 to 3, got '1'"),
    "reward not seen": (lambda live: begun(live).observe(1, 0.5), "leave agent_reward out"),
    "too many steps": (
        lambda live: finished(live).intervene(),
        "intervene: all 6 steps of the episode were played, call end_episode",
    ),
    "forecast too late": (lambda live: finished(live).forecast(), "forecast: all 6 steps"),
    "empty episode": (lambda live: begun(live).end_episode(), "end_episode: no step"),
    "nothing to adapt on": (lambda live: live.adapt(), "adapt: no episode has ended yet"),
    "adapt within": (lambda live: begun(ended(live)).adapt(), "adapt: an episode is running"),
}
FULL_MISTAKES = {
    "no reward": (None, "full information, give agent_reward too"),
    "nan": (float("nan"), "agent_reward must be a finite number .* got nan"),
    "infinite": (float("-inf"), "agent_reward must be a finite number .* got -inf"),
    "overflows": (1e19, "at most 1e"),
    "huge": (10**400, "agent_reward must be a number, got 1000"),
    "text": ("much", "agent_reward must be a number, got 'much'"),
}


@pytest.mark.parametrize(("mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_mistakes_are_answered_in_one_line(mistake, message):
    with pytest.raises(ValueError, match=message) as refusal:
        mistake(LivePrincipal(build(), target_arm=2))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("reward", "message"), FULL_MISTAKES.values(), ids=FULL_MISTAKES)
def test_mistakes_with_rewards(reward, message):
    live = begun(LivePrincipal(build(FULL)))
    with pytest.raises(ValueError, match=message) as refusal:
        live.observe(1, reward)
    assert "\n" not in str(refusal.value)
    live.observe(1, torch.tensor(0.5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"target_arm": A}, "target_arm must be a whole number from 0 to 3, got 4"),
        ({"max_interventions": -1}, "max_interventions must be a whole number at least 0, got -1"),
        ({"max_interventions": 2.5}, "max_interventions must be .* got 2.5"),
        ({"sampling_seed": 2**64}, "sampling_seed must be a whole number from 0 to 1844"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        LivePrincipal(build(), **settings)


def test_principals_without_a_part_say_so():
    with pytest.raises(ValueError, match=r"forecast: .* no world model"):
        LivePrincipal(build(world_model=NoWorldModel())).forecast()
    with pytest.raises(ValueError, match=r"adapt: .* without adaptation"):
        ended(LivePrincipal(build(adaptation=NoAdaptation()))).adapt()


def test_weights_that_are_not_finite_are_not_taken():
    live = LivePrincipal(build(FULL))
    live.module.inner_loop.log_rates.data.fill_(200.0)
    begun(live).observe(1, 0.5)
    live.end_episode()
    before = live.forecast()
    with pytest.raises(ValueError, match="adapt: the adapted weights are not finite"):
        live.adapt()
    assert torch.equal(live.forecast(), before)


@pytest.mark.parametrize("name", ["mixed-partial", "pretrained:mixed-partial"])
def test_loading_by_name(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    live = LivePrincipal.load(name, target_arm=3, max_interventions=7, sampling_seed=1)
    given = live.settings
    assert (live.target_arm, given.max_interventions, given.sampling_seed) == (3, 7, 1)
    assert (live.game.num_arms, live.game.num_steps) == (10, 200)


def test_a_file_goes_before_the_name_of_a_pretrained_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    LivePrincipal(build()).save("mixed-partial")
    assert LivePrincipal.load("mixed-partial").game.num_arms == A
    assert LivePrincipal.load("pretrained:mixed-partial").game.num_arms == 10


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nobody", r"checkpoint nobody does not exist \(pretrained principals: .*mixed-partial"),
        ("pretrained:nobody", "no pretrained principal 'nobody', allowed: .*mixed-partial"),
    ],
)
def test_unknown_checkpoints(path, message):
    with pytest.raises(ValueError, match=message):
        LivePrincipal.load(path)


def test_a_saved_one_keeps_its_settings(tmp_path):
    path = tmp_path / "agent.live"
    ended(LivePrincipal(build(), target_arm=2, max_interventions=1)).save(path)
    for given in ({}, {"target_arm": 2}, {"target_arm": 2, "max_interventions": 1}):
        live = LivePrincipal.load(path, **given)
        own = live.settings
        assert (live.target_arm, own.max_interventions, own.sampling_seed) == (2, 1, None)
    with pytest.raises(
        ValueError, match=r"agent.live was saved with target_arm = 2, got 0; it cannot change"
    ):
        LivePrincipal.load(path, target_arm=0)
    with pytest.raises(ValueError, match="with max_interventions = 1, got None"):
        LivePrincipal.load(path, max_interventions=None)
    with pytest.raises(TypeError, match="colour"):
        LivePrincipal.load(path, colour="red")


def test_a_saved_one_is_a_checkpoint_too(tmp_path):
    module, path = build(), tmp_path / "agent.live"
    ended(LivePrincipal(module)).save(path)
    assert read_checkpoint(path)[CHECKPOINT_KEY]["game"]["init_args"]["num_arms"] == A
    loaded = MermaideModule.load_from_checkpoint(path)
    assert_same_weights(loaded.state_dict(), module.state_dict())


def test_damaged_files_are_refused_or_go_on_unchanged(tmp_path):
    path, live = tmp_path / "agent.live", ended(LivePrincipal(build()))
    live.adapt()
    begun(live).observe(2)
    live.save(path)
    whole, expected = path.read_bytes(), live.forecast()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"agent\.live cannot be read"):
        LivePrincipal.load(path)
    refused = 0
    for place in range(0, len(whole), len(whole) // 300):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        path.write_bytes(damaged)
        try:
            assert torch.equal(LivePrincipal.load(path).forecast(), expected)  # in the padding
        except ValueError as error:
            refused += 1
            assert "\n" not in str(error)
            assert "agent.live" in str(error)
    assert refused > 100


@pytest.mark.parametrize("part", ["settings", "weights", "steps", "past", "level"])
def test_files_of_another_version_are_refused(part, tmp_path):
    path = tmp_path / "agent.live"
    LivePrincipal(build()).save(path)
    checkpoint = read_checkpoint(path)
    del checkpoint["live"][part]
    torch.save(checkpoint, path)
    message = rf"agent\.live is not a live principal that can resume here: '{part}'"
    with pytest.raises(ValueError, match=message):
        LivePrincipal.load(path)


def test_an_unknown_engine_is_refused(tmp_path):
    path = tmp_path / "agent.live"
    LivePrincipal(build()).save(path)
    checkpoint = read_checkpoint(path)
    checkpoint["live"]["engine"] = "steam"
    torch.save(checkpoint, path)
    with pytest.raises(ValueError, match="engine must be one of auto, torch, native, got 'steam'"):
        LivePrincipal.load(path)


def test_the_engine_by_its_earlier_name(tmp_path):
    path = tmp_path / "agent.live"
    LivePrincipal(build()).save(path)
    checkpoint = read_checkpoint(path)
    checkpoint["live"]["kernel"] = checkpoint["live"].pop("engine")
    torch.save(checkpoint, path)
    assert LivePrincipal.load(path).module.engine_name == "torch"


def test_one_of_a_version_without_recurrences_goes_on(without_slot, tmp_path):
    path, live = tmp_path / "agent.live", LivePrincipal(build())
    for _ in range(T):
        live.intervene()
        live.observe(1)
    live.end_episode()
    live.adapt()
    for step in range(3):
        live._state.level = step  # interventions in two of three steps
        live.observe(1)
    live.save(path)
    torch.save(without_slot(torch.load(path)), path)
    loaded = LivePrincipal.load(path)
    assert loaded._state.past.interventions.item() == 2.0
    assert (loaded.intervene(), loaded.module.spec) == (live.intervene(), live.module.spec)
    for name, weight in live._state.weights.items():
        assert torch.equal(loaded._state.weights[name], weight)


def outcome(act) -> object:
    """Result of a call, or the message of its error."""
    try:
        answer = act()
    except ValueError as error:
        assert "\n" not in str(error)
        return str(error)
    return answer.tolist() if isinstance(answer, torch.Tensor) else answer


class SavedAndMistreated(RuleBasedStateMachine):
    """Twin principals, of which one is saved, loaded and misused at any moment."""

    @initialize(
        slots=st.sampled_from(list(MODULES.values())),
        target_arm=st.integers(0, A - 1),
        max_interventions=st.none() | st.integers(0, 3),
        sampling_seed=st.none() | st.integers(0, 2**64 - 1),
    )
    def begin(self, slots, **given):
        module = build(**slots, num_steps=4)
        self.folder = tempfile.TemporaryDirectory()
        self.twin, self.live = LivePrincipal(module, **given), LivePrincipal(module, **given)
        self.most, self.levels = given["max_interventions"], []

    def both(self, act) -> object:
        expected = outcome(lambda: act(self.twin))
        assert outcome(lambda: act(self.live)) == expected
        return expected

    @rule()
    def intervene(self):
        self.both(LivePrincipal.intervene)

    @rule(arm=st.integers(0, A - 1), reward=st.floats(-3, 3))
    def observe(self, arm, reward):
        reward = reward if self.twin.game.observation.sees_agent_rewards else None
        level = self.twin._state.level
        if self.both(lambda live: live.observe(arm, reward)) is None:
            self.levels.append(level)

    @rule(arm=st.integers(0, A - 1), reward=st.floats(-3, 3), saved=st.booleans())
    def step(self, arm, reward, saved):
        self.intervene()
        if saved:
            self.save_and_load()
        self.observe(arm, reward)
        self.forecast()

    @rule(arms=st.lists(st.integers(0, A - 1), min_size=3, max_size=4), adapts=st.booleans())
    def episode(self, arms, adapts):
        for arm in arms:
            self.step(arm, 0.5 * arm, saved=False)
        self.end_episode()
        if adapts:
            self.adapt()

    @rule()
    def forecast(self):
        self.both(LivePrincipal.forecast)

    @rule()
    def end_episode(self):
        if self.both(LivePrincipal.end_episode) is None:
            self.levels = []

    @rule()
    def adapt(self):
        self.both(LivePrincipal.adapt)
        assert_same_weights(self.live._state.weights, self.twin._state.weights)

    @rule()
    def save_and_load(self):
        path = Path(self.folder.name) / "agent.live"
        self.live.save(path)
        self.live = LivePrincipal.load(path)
        self.forecast()
        assert_same_weights(self.live._state.weights, self.twin._state.weights)
        assert [file.name for file in path.parent.iterdir()] == ["agent.live"]

    @rule(arm=st.sampled_from([-1, A, 1.0, None, "0", True]))
    def observe_no_arm(self, arm):
        assert isinstance(outcome(lambda: self.live.observe(arm, 0.5)), str)

    @rule(reward=st.sampled_from([float("nan"), float("inf"), "much", 1e30]))
    def observe_no_reward(self, reward):
        assert isinstance(outcome(lambda: self.live.observe(0, reward)), str)

    @precondition(lambda self: self.twin._state.level is None)
    @rule()
    def observe_too_early(self):
        assert "call intervene first" in outcome(lambda: self.live.observe(0))

    @rule()
    def save_nowhere(self):
        assert "cannot be written: Is a directory" in outcome(
            lambda: self.live.save(self.folder.name)
        )

    @invariant()
    def budget_is_kept(self):
        if self.levels and self.most is not None:
            assert sum(level > 0 for level in self.levels) <= self.most

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestSavedAndMistreated = SavedAndMistreated.TestCase
TestSavedAndMistreated.settings = settings(
    max_examples=12, stateful_step_count=40, deadline=None, derandomize=True
)


WITHIN = {
    "recurrent": AdaptationWithinEpisodes(2, GradientAdaptation(inner_lr=2.0)),
    "gradient": AdaptationWithinEpisodes(
        2, GradientAdaptation(inner_lr=2.0), GradientAdaptation(inner_lr=0.5)
    ),
    "nothing": AdaptationWithinEpisodes(
        4, GradientAdaptation(inner_lr=2.0, num_inner_steps=2), NoAdaptation()
    ),
}
LEARNING_WITHIN = pytest.mark.parametrize("adaptation", WITHIN.values(), ids=WITHIN)


@LEARNING_WITHIN
@pytest.mark.parametrize("observation", [PARTIAL, FULL], ids=["partial", "full"])
@pytest.mark.parametrize("seed", [None, 4], ids=["greedy", "sampling"])
def test_it_learns_within_the_episode_as_in_evaluation(observation, adaptation, seed, tmp_path):
    module, played, changed = build(observation, adaptation), set(), False
    for index in range(4):
        task = sample(index)
        live = live_for(module, task, sampling_seed=None if seed is None else task.seeds[0])
        for episode in range(3):
            weights = {name: weight.clone() for name, weight in live._state.weights.items()}
            parts = module.principal, weights, module.inner_loop, module.objective
            player = player_of(*parts, greedy=seed is None, engine=module.engine)
            own = {"stream": Stream.LIVE, "num_episodes": 1, "number": episode}
            with torch.no_grad():
                expected = rollout(task, player, module.game, **own)
            if index == episode == 1:  # at the end of a part, and in the middle of the next one
                drive_saved(live, task, expected, tmp_path)
            assert drive(live, task, expected) == expected.levels[0, 0].tolist()
            still = player_of(*parts[:2], NoAdaptation().build(weights), parts[3], greedy=True)
            changed |= not torch.equal(
                rollout(task, still, module.game, **own).levels, expected.levels
            )
            played.update(expected.levels.flatten().tolist())
            assert_same_weights(live._state.weights, weights)
            assert_same_weights(live._state.running, weights)
            if module.inner_loop.num_shots:
                assert live.adapt() == episode + 1
    assert len(played) > 1
    assert changed


def drive_saved(live: LivePrincipal, task: TaskBatch, recorded: Trajectory, folder: Path) -> None:
    """Saved and loaded before and after every call, it plays and forecasts the same."""
    path = folder / "agent.live"
    live.save(path)
    copy = LivePrincipal.load(path)
    arms = relabel_target_first(recorded.observed_arms, task.target_arm)[0, 0].tolist()
    rewards = recorded.observed_agent_rewards[0, 0].tolist()
    always = LivePrincipal.load(path)
    for step, (arm, reward) in enumerate(zip(arms, rewards, strict=True)):
        assert torch.equal(always.forecast(), copy.forecast())
        assert always.intervene() == copy.intervene() == recorded.levels[0, 0, step]
        for each in (always, copy):
            each.observe(arm, reward if live.game.observation.sees_agent_rewards else None)
        always.save(path)
        always = LivePrincipal.load(path)
        assert_same_weights(always._state.running, copy._state.running)


def test_between_episodes_it_adapts_as_without_steps_within():
    chosen = GradientAdaptation(inner_lr=0.5)
    within = build(adaptation=AdaptationWithinEpisodes(2, between=chosen))
    found = []
    for module in (within, build(adaptation=chosen)):
        live = live_for(module, sample(1))
        for level, arm in ((0, 1), (2, 0), (1, 1), (0, 3), (2, 2)):
            live._state.level = level
            live.observe(arm)
        live.end_episode()
        live.adapt()
        found.append(live._state.weights)
    assert_same_weights(*found)


def test_weights_learned_within_that_are_not_finite_are_not_taken():
    live = LivePrincipal(build(adaptation=AdaptationWithinEpisodes(2)))
    live.module.inner_loop.within.log_rates.data.fill_(200.0)
    for _ in range(T):
        begun(live).observe(1)
        assert live._state.hidden.isfinite().all()
    named = live.module.principal.weights()
    assert torch.equal(live._state.running["recurrence.weight_hh"], named["recurrence.weight_hh"])
