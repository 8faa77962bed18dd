import json
import random
from collections import defaultdict
from dataclasses import replace
from threading import Thread

import numpy as np
import pytest
import torch

from mermaide_pl import LiveFleet, LivePrincipal, MermaideModule
from mermaide_pl.deployment import fleet_group, fleet_roster
from mermaide_pl.game import Budget, FullInformation, Game
from mermaide_pl.meta_learning import (
    AdaptationWithinEpisodes,
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
)
from mermaide_pl.principals import (
    Architecture,
    LastStep,
    LinearForecast,
    MinGRU,
    NoWorldModel,
    UniversalArchitecture,
)

ABC = ["a", "b", "c"]
GAMES = {
    "plain": {"num_steps": 40},
    "labels": {"arms": ABC, "target": "c", "cost": 0.2, "num_steps": 30},
    "another cost": {"arms": ["x", 7, "z"], "target": 7, "cost": 0.9, "num_steps": 25},
    "three levels": {"arms": ABC, "bonuses": (0.0, 0.3, 0.5), "num_steps": 20},
    "sampled": {"arms": ABC, "bonuses": (0.0, 0.4, 0.5), "num_steps": 90, "sampling_seed": 3},
    "budget": {"num_steps": 50, "max_interventions": 3, "target_arm": 2},
    "large budget": {"num_steps": 22, "max_interventions": 30},
    "endless": {},
    "endless, budget": {"max_interventions": 2, "sampling_seed": 2**63},
    "full": {"arms": ABC, "full_information": True, "num_steps": 24, "target": "b"},
    "full, sampled": {"full_information": True, "num_steps": 24, "sampling_seed": 9},
}
SAMPLED = Objective(inner_policy_weight=1.0)
UNIVERSAL = {
    "memory": {},
    "gradient": {"adaptation": GradientAdaptation(inner_lr=0.5), "objective": SAMPLED},
    "initial state": {"adaptation": GradientAdaptation(inner_lr=0.5, adapted=("initial_state",))},
    "two in a chain": {"adaptation": RecurrentAdaptation(num_shots=2)},
    "none": {"adaptation": NoAdaptation()},
    "minGRU": {"recurrence": MinGRU()},
}
OTHERS = {
    "counts": {},
    "full": {"observation": FullInformation()},
    "last step": {"history": LastStep(), "world_model": LinearForecast()},
    "no world model": {"world_model": NoWorldModel()},
}


def universal(
    adaptation=GradientAdaptation(inner_lr=0.5, carries_state=True),
    objective=Objective(),
    game=Game(4, 6),
    **slots,
) -> MermaideModule:
    """A small principal with strong preferences, which plays any game."""
    torch.manual_seed(3)
    architecture = UniversalArchitecture(6, 5, 5, 4, **slots)
    return strong(MermaideModule(game, architecture, adaptation, objective, engine="torch"))


def of_one_game(observation=Game().observation, **slots) -> MermaideModule:
    torch.manual_seed(3)
    game = Game(4, 30, (0.0, 0.4, 1.0), observation=observation)
    adaptation = GradientAdaptation(inner_lr=0.5)
    module = strong(MermaideModule(game, Architecture(6, 5, **slots), adaptation, engine="torch"))
    policy = module.principal.policy
    policy.policy_out_bias.data.zero_()
    policy.policy_out_weight.data -= policy.policy_out_weight.mean(0)  # no level is always best
    return module


def strong(module: MermaideModule) -> MermaideModule:
    for weight in module.principal.parameters():
        weight.data += 0.7 * torch.randn_like(weight)
    return module.double().eval()


def fleet_of(module: MermaideModule, games=GAMES, **limits) -> LiveFleet:
    fleet = LiveFleet(module, **limits)
    for name, settings in games.items():
        fleet.add(name, **settings)
    return fleet


def outcome(game: Game, settings: dict, draw: random.Random) -> tuple[object, float | None]:
    """An arm pulled and a reward observed, at random."""
    labels = settings.get("arms", range(game.num_arms))
    reward = draw.gauss(0.5, 0.5) if game.observation.sees_agent_rewards else None
    return labels[draw.randrange(game.num_arms)], reward


def play(fleet: LiveFleet, ids: list, draw: random.Random, games=GAMES) -> list[tuple]:
    """A step of learners: arm, level and reward of each."""
    levels, steps = fleet.intervene(ids)
    outcomes = [outcome(fleet.game(id), games[id], draw) for id in ids]
    arms, rewards = zip(*outcomes, strict=True)
    fleet.observe(ids, arms, rewards, steps=steps)
    return list(zip(arms, levels.tolist(), rewards, strict=True))


def assert_as_live(module: MermaideModule, games: dict, monkeypatch) -> None:
    """A fleet and a live principal for each of its learners play, forecast and adapt the same."""
    for each in (fleet_group, fleet_roster):
        monkeypatch.setattr(each, "MOST_ROWS", 2)
    fleet = fleet_of(module, games)
    lives = {name: LivePrincipal(module, **settings) for name, settings in games.items()}
    draw, played = random.Random(0), set()
    for episode in range(3):
        for _ in range(12):
            ids = draw.sample(sorted(games), draw.randint(1, len(games)))
            if module.principal.world_model is not None:
                for id, chances in zip(ids[:2], fleet.forecast(ids[:2]), strict=True):
                    torch.testing.assert_close(chances, lives[id].forecast(), rtol=0, atol=1e-12)
            for id, (arm, level, reward) in zip(ids, play(fleet, ids, draw, games), strict=True):
                assert (id, lives[id].intervene()) == (id, level)
                lives[id].observe(arm, reward)
                played.add(level)
            for id in ids:
                if len(lives[id]._state.steps) == 9:
                    lives[id].end_episode()
                    assert fleet.end_episode([id]) == [len(lives[id]._state.ended)]
        running = [id for id in games if len(lives[id]._state.steps)]
        fleet.end_episode(running)
        for id in running:
            lives[id].end_episode()
        if module.inner_loop.num_shots:
            ids = sorted(games)[: None if episode == 1 else len(games) // 2 + 1]
            assert fleet.adapt(ids) == [lives[id].adapt() for id in ids]
        fleet.remove([next(iter(games))])  # another takes its row
        fleet.add(next(iter(games)), **games[next(iter(games))])
        lives[next(iter(games))] = LivePrincipal(module, **games[next(iter(games))])
    assert len(played) > 1


@pytest.mark.parametrize("slots", UNIVERSAL.values(), ids=UNIVERSAL)
def test_it_plays_forecasts_and_adapts_as_live_principals_do(slots, monkeypatch):
    assert_as_live(universal(**slots), GAMES, monkeypatch)


def test_a_principal_trained_on_endless_games(monkeypatch):
    module = universal(game=Game(4, 6, endless=True, max_interventions=4))
    assert_as_live(module, GAMES, monkeypatch)


@pytest.mark.parametrize("slots", OTHERS.values(), ids=OTHERS)
def test_a_principal_of_one_game(slots, monkeypatch):
    games = {name: {"target_arm": name % 4} for name in range(5)}
    games[3] |= {"max_interventions": 4, "sampling_seed": 5}
    assert_as_live(of_one_game(**slots), games, monkeypatch)


def test_a_learner_is_bounded_however_long_it_plays():
    """It adapts as one that has had only the last episodes, and of these the first steps."""
    module, draw = universal(), random.Random(1)
    fleet = fleet_of(module, {"endless": {}, "full": GAMES["full"]}, max_episodes=2, max_steps=10)
    kept = defaultdict(list)
    for length in (8, 24, 7, 15):
        for id in ("endless", "full"):
            episode = [play(fleet, [id], draw)[0] for _ in range(length)]
            kept[id].append(episode[:10])
        fleet.end_episode(["endless", "full"])
    assert fleet.adapt(["endless", "full"]) == [2, 2]
    for id, episodes in kept.items():
        live = LivePrincipal(module, **GAMES[id])
        for episode in episodes[-2:]:
            for arm, level, reward in episode:
                live._state.level = level
                live.observe(arm, reward)
            live.end_episode()
        live.adapt()
        torch.testing.assert_close(fleet.forecast([id])[0], live.forecast(), rtol=0, atol=1e-12)
    for group in fleet._roster._groups:
        assert all(table.shape[1] <= 10 for table in group._records)
    described = fleet.describe("endless")
    assert [len(episode["arms"]) for episode in described["ended"]] == [7, 10]


def test_what_does_not_differ_from_the_meta_weights_is_not_kept():
    module, draw = universal(), random.Random(1)
    fleet = fleet_of(module, {"plain": GAMES["plain"]})
    assert fleet.describe("plain", "adapted") == {"adapted": None}
    for _ in range(5):
        play(fleet, ["plain"], draw)
    fleet.end_episode(["plain"])
    fleet.adapt(["plain"])
    kept = fleet.describe("plain", "adapted")["adapted"]["weights"]
    assert {name.partition(".")[0] for name in kept} == {"recurrence", "world_model"}
    assert "policy.policy_in_weight" in module.principal.weights()


def snapshot(fleet: LiveFleet) -> dict:
    return {id: fleet.describe(id) for id in fleet._roster.slots}


def begun(fleet: LiveFleet) -> None:
    fleet.intervene(["plain", "labels"])


def stepped(fleet: LiveFleet, times: int = 1) -> None:
    for _ in range(times):
        _, steps = fleet.intervene(["plain", "labels"])
        fleet.observe(["plain", "labels"], [1, "a"], steps=steps)


def ended(fleet: LiveFleet) -> None:
    stepped(fleet, 3)
    fleet.end_episode(["plain", "labels"])


BOTH = ["plain", "labels"]
MISTAKES = {
    "unknown": (None, lambda fleet: fleet.intervene(["plain", "eve"]), "no learner 'eve'"),
    "no list": (None, lambda fleet: fleet.intervene("plain"), "ids must be a list .*'plain'"),
    "no name": (None, lambda fleet: fleet.intervene([[1]]), r"no learner \[1\]"),
    "twice": (None, lambda fleet: fleet.intervene(["plain"] * 2), "'plain' is named twice"),
    "known": (None, lambda fleet: fleet.add("plain"), "there is a learner 'plain' already"),
    "a float": (None, lambda fleet: fleet.add(0.5), r"a text or an integer, got 0\.5"),
    "settings": (None, lambda fleet: fleet.add("eve", arms=["a"]), "learner 'eve': arms must be"),
    "observe first": (
        None,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=[0, 0]),
        "learner 'plain': observe: call intervene first",
    ),
    "doubled": (
        stepped,
        lambda fleet: [fleet.intervene(BOTH), fleet.observe(BOTH, [1, "a"], steps=[1, 0])],
        "'labels': observe: step 1 is expected, got 0, it came twice or too late",
    ),
    "doubled, before intervene": (
        stepped,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=[0, 0]),
        "'plain': observe: step 1 is expected, got 0, it came twice",
    ),
    "lost": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=[0, 1]),
        "'labels': observe: step 0 is expected, got 1, a message before it is missing",
    ),
    "of the last episode": (
        ended,
        lambda fleet: [
            fleet.intervene(BOTH),
            fleet.observe(BOTH, [1, "a"], steps=[0, 0], episodes=[1, 0]),
        ],
        "'labels': observe: episode 1 is expected, got 0",
    ),
    "steps, number": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=[0]),
        "steps must be 2 whole numbers",
    ),
    "steps, none": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=None),
        "steps must be 2 whole numbers",
    ),
    "steps, floats": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, "a"], steps=[0.0, 0.0]),
        "steps must be 2 whole numbers",
    ),
    "arms, number": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1], steps=[0, 0]),
        "arms must be 2, as many as learners, got 1",
    ),
    "arms, text": (
        begun,
        lambda fleet: fleet.observe(BOTH, "aa", steps=[0, 0]),
        "arms must be a list, got 'aa'",
    ),
    "label": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, 1], steps=[0, 0]),
        "learner 'labels': observe: arm must be one of a, b, c, got 1",
    ),
    "arm": (
        begun,
        lambda fleet: fleet.observe(BOTH, [4, "a"], steps=[0, 0]),
        "learner 'plain': observe: arm must be a whole number from 0 to 3, got 4",
    ),
    "reward": (
        begun,
        lambda fleet: fleet.observe(BOTH, [1, "a"], [None, 0.5], steps=[0, 0]),
        "learner 'labels': observe: this principal has partial information",
    ),
    "no reward": (
        lambda fleet: fleet.intervene(["plain", "full"]),
        lambda fleet: fleet.observe(["plain", "full"], [1, "a"], steps=[0, 0]),
        "learner 'full': observe: this principal has full information, give agent_reward",
    ),
    "infinite reward": (
        lambda fleet: fleet.intervene(["plain", "full"]),
        lambda fleet: fleet.observe(["plain", "full"], [1, "a"], [None, np.inf], steps=[0, 0]),
        "learner 'full': observe: agent_reward must be a finite number",
    ),
    "too many steps": (
        lambda fleet: stepped(fleet, 30),
        lambda fleet: fleet.intervene(BOTH),
        "learner 'labels': intervene: all 30 steps of the episode were played, call end_episode",
    ),
    "forecast too late": (
        lambda fleet: stepped(fleet, 30),
        lambda fleet: fleet.forecast(BOTH),
        "learner 'labels': forecast: all 30 steps",
    ),
    "empty episode": (
        begun,
        lambda fleet: fleet.end_episode(BOTH),
        "learner 'plain': end_episode: no step of this episode",
    ),
    "end, steps": (
        stepped,
        lambda fleet: fleet.end_episode(BOTH, steps=[1, 2]),
        "learner 'labels': end_episode: step 1 is expected, got 2",
    ),
    "nothing to adapt on": (
        None,
        lambda fleet: fleet.adapt(BOTH),
        "learner 'plain': adapt: no episode has ended yet",
    ),
    "adapt within": (
        lambda fleet: [ended(fleet), fleet.intervene(["labels"])],
        lambda fleet: fleet.adapt(BOTH),
        "learner 'labels': adapt: an episode is running, call end_episode first",
    ),
    "part": (None, lambda fleet: fleet.describe("plain", "all"), "parts are settings, .*'all'"),
    "replay, level": (
        None,
        lambda fleet: fleet.replay(BOTH, [[], [("a", 2, None)]]),
        r"learner 'labels': replay: step 0 must be .*level must be .*from 0 to 1, got 2",
    ),
    "replay, shape": (
        None,
        lambda fleet: fleet.replay(BOTH, [[(1, 0, None), (1, 0)], []]),
        r"learner 'plain': replay: step 1 must be \(arm, level, reward\)",
    ),
    "replay, too many": (
        stepped,
        lambda fleet: fleet.replay(["labels"], [[("a", 0, None)] * 30]),
        "learner 'labels': replay: the episode has 30 steps, got 30 after 1",
    ),
    "replay, another level": (
        begun,
        lambda fleet: fleet.replay(
            ["plain"], [[(1, 1 - int(fleet.intervene(["plain"])[0][0]), None)]]
        ),
        "learner 'plain': replay: level . awaits its outcome, got that of",
    ),
}


@pytest.mark.parametrize(("before", "mistake", "message"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line_and_changes_nothing_for_any(before, mistake, message, monkeypatch):
    fleet = fleet_of(universal())
    if before is not None:
        before(fleet)
    seen = []
    observe = fleet.observe
    monkeypatch.setattr(
        fleet, "observe", lambda *a, **k: [seen.append(snapshot(fleet)), observe(*a, **k)]
    )
    seen.append(snapshot(fleet))
    with pytest.raises(ValueError, match=message) as refusal:
        mistake(fleet)
    assert "\n" not in str(refusal.value)
    assert snapshot(fleet) == seen[-1]


def test_weights_that_are_not_finite_change_nothing():
    module = universal()
    fleet = fleet_of(module)
    ended(fleet)
    before = snapshot(fleet)
    module.inner_loop.log_rates.data.fill_(800.0)
    with pytest.raises(ValueError, match="'plain': adapt: the adapted weights are not finite"):
        fleet.adapt(BOTH)
    assert snapshot(fleet) == before


def test_principals_that_it_cannot_play_are_refused():
    with pytest.raises(ValueError, match="no gradient steps within episodes"):
        LiveFleet(universal(adaptation=AdaptationWithinEpisodes(2)))
    with pytest.raises(ValueError, match="max_steps"):
        LiveFleet(universal(), max_steps=0)
    with pytest.raises(ValueError, match="NoAdaptation"):
        fleet_of(universal(adaptation=NoAdaptation())).adapt(["plain"])
    with pytest.raises(ValueError, match="no world model"):
        fleet_of(of_one_game(world_model=NoWorldModel()), {0: {}}).forecast([0])


def test_no_learners_is_no_mistake():
    fleet = LiveFleet(universal())
    levels, steps = fleet.intervene([])
    fleet.observe([], [], steps=steps)
    assert levels.tolist() == fleet.forecast([]) == fleet.adapt([]) == []
    assert fleet.end_episode([]).tolist() == []


@pytest.mark.parametrize("slots", [UNIVERSAL["memory"], UNIVERSAL["gradient"]])
def test_stored_after_every_call_it_goes_on_to_the_bit(slots):
    """In JSON: all parts at first, then those that change, and the log of the running episode."""
    module, draw = universal(**slots), random.Random(2)
    limits = {"max_episodes": 1, "max_steps": 6}
    ids = ["labels", "three levels", "sampled", "endless, budget", "full, sampled"]
    fleet = fleet_of(module, {id: GAMES[id] for id in ids}, **limits)
    stored = {id: json.loads(json.dumps(fleet.describe(id))) for id in ids}
    labels = {id: GAMES[id].get("arms", range(4)) for id in ids}

    def restored() -> LiveFleet:
        other = LiveFleet(universal(**slots), **limits)
        for id in ids:
            other.restore(id, json.loads(json.dumps(stored[id])))
        return other

    def store(*parts: str) -> None:
        for id in ids:
            stored[id] |= fleet.describe(id, *parts)

    for _ in range(2):
        for _ in range(8):
            levels, steps = fleet.intervene(ids)
            store("now")
            fleet = restored()
            assert fleet.intervene(ids)[0].tolist() == levels.tolist()
            outcomes = [outcome(fleet.game(id), GAMES[id], draw) for id in ids]
            arms, rewards = zip(*outcomes, strict=True)
            twin = restored()
            for each in (fleet, twin):
                each.observe(ids, arms, rewards, steps=steps)
            store("now")
            for id, arm, level, reward in zip(ids, arms, levels.tolist(), rewards, strict=True):
                log = stored[id]["running"]
                log["arms"].append(labels[id].index(arm))
                log["levels"].append(level)
                if reward is not None:
                    log["agent_rewards"].append(reward)
            fleet = restored()
            assert snapshot(fleet) == snapshot(twin)
        fleet.end_episode(ids)
        store("ended", "running", "now")
        fleet = restored()
        fleet.adapt(ids)
        store("adapted", "now")
        assert snapshot(restored()) == snapshot(fleet)


def test_replayed_steps_are_those_that_were_played():
    module, draw, ids = universal(), random.Random(3), list(GAMES)
    fleet, other = fleet_of(module), fleet_of(module)
    logs = defaultdict(list)
    for step in range(15):
        chosen = ids if step % 2 else ids[:5]
        for id, played in zip(chosen, play(fleet, chosen, draw), strict=True):
            logs[id].append(played)
    fleet.intervene(ids)
    other.intervene(ids[:3])  # the first step of these has its level already
    other.replay(ids, [logs[id] for id in ids])
    other.intervene(ids)
    for id in ids:
        left, right = fleet.describe(id), other.describe(id)
        assert {**left, "now": 0} == {**right, "now": 0}
        assert left["now"]["level"] == right["now"]["level"]
    for one, another in zip(fleet.forecast(ids), other.forecast(ids), strict=True):
        torch.testing.assert_close(one, another, rtol=0, atol=1e-13)


CORRUPTIONS = {
    "a part": (lambda data: data.pop("now"), "now is missing"),
    "principal": (lambda data: data["settings"].update(principal="x"), "another principal"),
    "settings": (lambda data: data["settings"].update(arms=["a"]), "arms must be two or more"),
    "unknown setting": (lambda data: data["settings"].update(colour=1), "colour"),
    "step": (lambda data: data["now"].update(step=41), "step must be .*from 0 to 40"),
    "level": (lambda data: data["now"].update(level=2), "level must be .*from 0 to 1"),
    "no state": (lambda data: data["now"].update(level=0), "NoneType|None"),
    "text": (lambda data: data["now"]["seen"].update(base64="?"), "base64|Only|Incorrect"),
    "short": (lambda data: data["now"]["seen"].update(base64="AAAA"), "buffer size"),
    "shape": (lambda data: data["now"]["seen"].update(shape=[1]), "seen must be float64 of shape"),
    "lost steps": (lambda data: data["running"].update(arms=[], levels=[]), "first 3 of 3 steps"),
    "lengths": (lambda data: data["running"].update(arms=[1]), "must have one length"),
    "arm": (lambda data: data["running"].update(arms=[0, 1, 4]), "arm must be .*from 0 to 3"),
    "rewards": (lambda data: data["running"].update(agent_rewards=[0.0] * 3), "must be None"),
    "no dict": (lambda data: data.update(now=3), "subscriptable"),
    "weights": (
        lambda data: data.update(adapted={"initial": None, "weights": {"policy.x": None}}),
        "no weights 'policy.x'",
    ),
}


@pytest.mark.parametrize(("corrupt", "message"), CORRUPTIONS.values(), ids=CORRUPTIONS)
def test_data_that_do_not_fit_are_refused_in_one_line(corrupt, message):
    fleet = fleet_of(universal())
    stepped(fleet, 3)
    data = json.loads(json.dumps(fleet.describe("plain")))
    corrupt(data)
    before = snapshot(fleet)
    with pytest.raises(ValueError, match=f"learner 'new': restore: .*({message})") as refusal:
        fleet.restore("new", data)
    assert "\n" not in str(refusal.value)
    assert snapshot(fleet) == before
    assert len(fleet) == len(GAMES)
    assert "new" not in fleet


def test_several_threads_may_call_it():
    """Each plays with learners of its own, and the fleet is as if one had played with all."""
    module = universal()
    games = {f"{name} {copy}": settings for name, settings in GAMES.items() for copy in range(3)}
    fleet, alone = fleet_of(module, games), fleet_of(module, games)
    of_thread = [sorted(games)[start::3] for start in range(3)]

    def work(fleet: LiveFleet, ids: list) -> None:
        draw = random.Random(str(ids))
        for _ in range(2):
            for _ in range(6):
                play(fleet, ids, draw, games)
            fleet.remove(ids[:1])  # others take its row
            fleet.add(ids[0], **games[ids[0]])
            fleet.end_episode(ids[1:])
            fleet.adapt(ids[1:])

    threads = [Thread(target=work, args=(fleet, ids)) for ids in of_thread]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ids in of_thread:
        work(alone, ids)
    assert snapshot(fleet) == snapshot(alone)


def test_of_threads_that_tell_of_the_same_step_one_is_heard():
    fleet, heard = fleet_of(universal(), {"plain": {"num_steps": 40}}), []

    def work() -> None:
        for _ in range(40):
            try:
                _, steps = fleet.intervene(["plain"])
                fleet.observe(["plain"], [1], steps=steps)
                heard.append(int(steps[0]))
            except ValueError as error:
                assert "expected" in str(error) or "call" in str(error)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(heard) == list(range(40))


def test_it_loads_a_trained_principal():
    fleet = LiveFleet.load("mixed-partial", max_episodes=1)
    live = LivePrincipal.load("mixed-partial", target_arm=3)
    fleet.add(1, target_arm=3)
    assert fleet.game(1) == live.game
    for arm in range(10):
        levels, steps = fleet.intervene([1])
        assert levels.tolist() == [live.intervene()]
        fleet.observe([1], [arm], steps=steps)
        live.observe(arm)
    torch.testing.assert_close(fleet.forecast([1])[0], live.forecast())
    with pytest.raises(ValueError, match=r"learner 2: .*universal"):
        fleet.add(2, arms=["a", "b"])


def test_games_that_pay_the_others_too_or_must_spend_a_budget_are_refused():
    game = Game(num_steps=30, target_budget=Budget(10, 20))
    fleet = LiveFleet(MermaideModule(game, Architecture(6, 5)))
    with pytest.raises(ValueError, match="a fleet plays games that pay the target alone") as told:
        fleet.add(1)
    assert "\n" not in str(told.value)
    assert len(fleet) == 0


def test_random_numbers_of_a_long_episode_are_those_of_a_live_principal():
    module, settings = universal(), {"arms": ABC, "sampling_seed": 7}
    fleet, live = fleet_of(module, {"long": settings}), LivePrincipal(module, **settings)
    draw = random.Random(4)
    for arm, level, _ in (play(fleet, ["long"], draw, {"long": settings})[0] for _ in range(200)):
        assert live.intervene() == level
        live.observe(arm)


def test_games_that_differ_in_numbers_alone_are_one_group():
    fleet = fleet_of(universal(), {name: GAMES[name] for name in ("plain", "budget", "endless")})
    assert [len(group) for group in fleet._roster._groups] == [3]
    assert replace(fleet.game("plain"), num_steps=50, max_interventions=3) == fleet.game("budget")
