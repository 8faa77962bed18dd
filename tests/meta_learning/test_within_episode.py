from copy import deepcopy
from dataclasses import replace

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from mermaide_pl.agents import UCB, EpsilonGreedy, GaussianRewardPerTask
from mermaide_pl.engines import Stream, TorchEngine, choose_engine
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.evaluation.paired_evaluation import adapted_player
from mermaide_pl.experiments.comparison.inner_loop_choice import choose_inner_loop
from mermaide_pl.game import FullInformation, Game, GameBatch
from mermaide_pl.game.trajectory import Trajectory
from mermaide_pl.meta_learning import (
    AdaptationWithinEpisodes,
    GradientAdaptation,
    NoAdaptation,
    Objective,
    RecurrentAdaptation,
)
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.meta_learning.within_episode import InnerLoops
from mermaide_pl.meta_learning.within_episode_player import WithinEpisodePlayer
from mermaide_pl.populations import AgentFamily, Interval, Population, TaskBatch
from mermaide_pl.principals import (
    Architecture,
    HistoryState,
    NoWorldModel,
    Principal,
    UniversalArchitecture,
)

A, T, EVERY, M = 4, 11, 4, 3  # a last part of fewer steps
GAME = Game(A, T, (0.0, 0.4, 1.0), observation=FullInformation(0.1, 0.1))
POPULATION = Population(
    [AgentFamily(UCB, {"beta": Interval(0.1, 0.7)}), AgentFamily(EpsilonGreedy)], num_arms=A
)
STEPS = GradientAdaptation(inner_lr=0.5, adapted=("recurrence", "world_model"))
CARRIED = GradientAdaptation(inner_lr=0.5, carries_state=True)
ENGINES = {"native": choose_engine("native"), "torch": TorchEngine()}
WITHIN = {
    "one step": {},
    "all parts": {"within": replace(STEPS, adapted=("recurrence", "world_model", "policy"))},
    "momentum, two steps": {
        "within": replace(STEPS, num_inner_steps=2, optimizer_args={"momentum": 0.9})
    },
    "first order": {"within": replace(STEPS, first_order=True)},
    "gradient between": {"between": CARRIED},
    "two shots between": {"between": GradientAdaptation(0.5, num_shots=2)},
    "nothing between": {"between": NoAdaptation()},
}
ARCHITECTURES = [Architecture(6, 5, critic_size=7), UniversalArchitecture(6, 5, 4, 3)]
EVERY_ARCHITECTURE = pytest.mark.parametrize(
    "architecture", ARCHITECTURES, ids=lambda one: type(one).__name__
)


def games() -> GameBatch:
    bonuses = torch.tensor([[0.0, 0.3, 1.2], [0.0, 0.5, 0.8], [0.0, 0.1, 2.0]])
    numbers = {"cost": [0.2, 0.5, 0.9], "max_interventions": [0.0, 5.0, 50.0]}
    tensors = {name: torch.tensor(each).double() for name, each in numbers.items()}
    return GameBatch(GAME, bonuses=bonuses.double(), **tensors)


GAMES = {"one": GAME, "budget": replace(GAME, max_interventions=5), "of each task": games()}


def sample(game=GAME, indices=range(M)) -> TaskBatch:
    tasks = POPULATION.sample(indices, split="train").to("cpu", torch.float64)
    if isinstance(game, GameBatch):
        tasks.games = game
        tasks.reward_model = GaussianRewardPerTask(torch.linspace(0.0, 0.5, M).double())
    return tasks


def build(
    architecture=ARCHITECTURES[0], engine="auto", game=GAME, every=EVERY, **adaptation
) -> MermaideModule:
    """A small principal with strong preferences, in float64."""
    torch.manual_seed(3)
    chosen = AdaptationWithinEpisodes(every, **{"within": STEPS} | adaptation)
    sizes = {"num_query_episodes": 2, "num_zero_shot_episodes": 2}
    module = MermaideModule(game, architecture, chosen, engine=engine, **sizes).double()
    for parameter in module.principal.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    policy = module.principal.policy
    if isinstance(architecture, Architecture):  # no level is always best
        policy.policy_out_bias.data.zero_()
        policy.policy_out_weight.data -= policy.policy_out_weight.mean(0)
        policy.policy_out_weight.data *= 4.0
    module.inner_loop.within.log_rates.data += torch.linspace(
        -0.5, 0.5, len(module.inner_loop.within.log_rates)
    )
    return module


def gradients(module: MermaideModule) -> dict[str, Tensor | None]:
    return {name: weight.grad for name, weight in module.named_parameters()}


def player_for(module: MermaideModule, engine=None, weights=None) -> WithinEpisodePlayer:
    """One that samples, whose outputs are differentiable."""
    weights = module.principal.weights() if weights is None else weights
    own = module.principal, weights, module.inner_loop, module.objective
    return WithinEpisodePlayer(*own, greedy=False, engine=engine or module.engine)


def recorded_by(module: MermaideModule, num_episodes: int = 2) -> Trajectory:
    options = {"stream": Stream.SCORE, "num_episodes": num_episodes, "engine": module.engine}
    return rollout(sample(), player_for(module), module.game, **options)


def episode_by_hand(
    principal: Principal, rates: dict[str, Tensor], episode: Trajectory
) -> tuple[Tensor, Tensor]:
    """Level logits [T, L] and log-likelihoods [T] of an episode [1, 1, T], step by step."""
    weights, past = principal.weights(), HistoryState.empty(episode.rewards, GAME, 1, 1)
    hidden, logits, log_arms = principal.first_state(weights, 1, 1), [], []
    for step in range(T):
        if step in (EVERY, 2 * EVERY):
            loss = -torch.stack(log_arms[-EVERY:]).mean()
            own = [weights[name] for name in rates]
            grads = torch.autograd.grad(loss, own, create_graph=True)
            steps = zip(rates.items(), own, grads, strict=True)
            weights = {**weights, **{name: w - rate * grad for (name, rate), w, grad in steps}}
        hidden, level_logits, arm_logits = principal.step(weights, hidden, past)
        logits.append(level_logits[0, 0])
        arms, levels, rewards = (
            record[:, :, step]
            for record in (episode.observed_arms, episode.levels, episode.observed_agent_rewards)
        )
        log_arms.append(arm_logits[0, 0, levels[0, 0]].log_softmax(-1)[arms[0, 0]])
        past.add(arms, levels, rewards)
    return torch.stack(logits), torch.stack(log_arms)


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_it_is_the_loop_over_episodes_and_steps(engine):
    module = build()
    principal, within = module.principal, module.inner_loop.within
    played = recorded_by(module)
    output = player_for(module, engine).replay(played)
    rates = dict(zip(within.rates(), within.log_rates.exp().unbind(), strict=True))
    by_hand = [
        [
            episode_by_hand(principal, rates, played.map(lambda r: r[m : m + 1, b : b + 1]))  # noqa: B023
            for b in range(2)
        ]
        for m in range(M)
    ]
    logits, log_arms = (
        torch.stack([torch.stack([episode[part] for episode in row]) for row in by_hand])
        for part in range(2)
    )
    torch.testing.assert_close(output.level_logits, logits, rtol=0.0, atol=1e-11)
    torch.testing.assert_close(output.log_arms, log_arms, rtol=0.0, atol=1e-11)

    weight = torch.randn_like(logits)
    leaves = {**principal.weights(), "rates": within.log_rates}
    actual, expected = (
        torch.autograd.grad(
            (weight * logits).mean() + log_arms.square().mean(),
            list(leaves.values()),
            allow_unused=True,  # the critic's
        )
        for logits, log_arms in ((output.level_logits, output.log_arms), (logits, log_arms))
    )
    for name, one, other in zip(leaves, actual, expected, strict=True):
        if "critic" not in name:
            assert other.abs().max() > 1e-6, name
            torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("name", ["recurrence.weight_hh", "world_model.common_bias", "rates"])
def test_the_gradient_equals_finite_differences(name):
    module = build()
    played, rates = recorded_by(module), module.inner_loop.within.log_rates
    leaf = rates if name == "rates" else module.principal.weights()[name]

    def outer() -> Tensor:
        output = player_for(module).replay(played)
        return output.log_levels.mean() + output.values.square().mean() - output.log_arms.mean()

    (gradient,) = torch.autograd.grad(outer(), leaf)
    entries, width = leaf.data.view(-1), 1e-6
    for index in range(0, len(entries), 5):
        before, values = entries[index].item(), []
        for shifted in (before + width, before - width):
            entries[index] = shifted
            with torch.no_grad():
                values.append(outer().item())
        entries[index] = before
        expected = (values[0] - values[1]) / (2.0 * width)
        assert gradient.flatten()[index].item() == pytest.approx(expected, rel=1e-5, abs=1e-8)


@EVERY_ARCHITECTURE
@pytest.mark.parametrize("game", GAMES.values(), ids=GAMES)
@pytest.mark.parametrize("name", ["one step", "momentum, two steps", "gradient between"])
def test_the_meta_step_is_that_of_pytorch(name, game, architecture):
    own = game if isinstance(game, Game) else game.sizes
    steps, found = [], []
    for engine in ENGINES:
        module = build(architecture, engine, own, **WITHIN[name])
        steps.append(module.take_step(sample(game), 0.3))
        steps[-1].loss.backward()
        found.append(gradients(module))
    native, reference = steps
    for item in Trajectory.records():
        actual, expected = (getattr(step.query, item.name) for step in steps)
        torch.testing.assert_close(actual, expected, rtol=0.0, atol=1e-12)
    assert len(native.query.levels.unique()) == 3
    torch.testing.assert_close(native.loss, reference.loss, rtol=1e-11, atol=0.0)
    for key, expected in found[1].items():
        scale = max(expected.abs().max().item(), 1e-6)
        torch.testing.assert_close(found[0][key], expected, rtol=0.0, atol=1e-9 * scale)


@pytest.mark.parametrize("every", [EVERY, T, 100])
@pytest.mark.parametrize("name", WITHIN)
def test_every_parameter_has_a_gradient_as_ddp_requires(name, every):
    module = build(every=every, **WITHIN[name])
    deepcopy(module).take_step(sample(), 0.3).loss.backward()
    module.take_step(sample(), 0.3).loss.backward()
    assert all(gradient is not None for gradient in gradients(module).values())
    moves = module.inner_loop.within.log_rates.grad.abs().max() > 0.0
    assert moves == (every < T)


@EVERY_ARCHITECTURE
@pytest.mark.parametrize("every", [T, 100])
@pytest.mark.parametrize("between", [RecurrentAdaptation(), CARRIED, NoAdaptation()])
def test_without_a_step_it_is_the_adaptation_between(between, every, architecture):
    module = build(architecture, every=every, between=between)
    alone = deepcopy(module)
    alone.inner_loop = module.inner_loop.between
    steps = [each.take_step(sample(), 0.3) for each in (module, alone)]
    for step in steps:
        step.loss.backward()
    assert torch.equal(steps[0].query.levels, steps[1].query.levels)
    torch.testing.assert_close(steps[0].loss, steps[1].loss, rtol=1e-12, atol=0.0)
    for own, other in zip(module.principal.parameters(), alone.principal.parameters(), strict=True):
        torch.testing.assert_close(own.grad, other.grad, rtol=1e-9, atol=1e-12)


def test_steps_within_change_what_is_played():
    module = build()
    still = build(every=T)
    levels = [
        each.scored_episodes(sample(), each.player(each.principal.weights()), 4).levels
        for each in (module, still)
    ]
    assert len(levels[0].unique()) > 1
    assert torch.equal(*(each[..., :EVERY] for each in levels))
    assert not torch.equal(*levels)


@EVERY_ARCHITECTURE
def test_an_episode_does_not_depend_on_the_batch(architecture):
    module = build(architecture, between=CARRIED)
    for shots in (0, 1):
        found = []
        for indices in (range(M), [1]):
            tasks = sample(indices=indices)
            weights = module.adapted_weights(tasks, shots)
            played = module.scored_episodes(tasks, module.player(weights), 2)
            found.append((played.levels, module.forward_pass(weights, played).arm_logits))
        (together, forecasts), (alone, own) = found
        assert torch.equal(together[1:2], alone)
        torch.testing.assert_close(forecasts[1:2], own, rtol=0.0, atol=1e-12)


def test_scored_episodes_leave_no_graph():
    module = build(between=CARRIED)
    assert torch.is_grad_enabled()
    for shots in (0, 1):
        player = adapted_player(module, shots)(sample())
        played = module.scored_episodes(sample(), player, 1)
        with torch.no_grad():
            output = player.output(played)
        assert not output.arm_logits.requires_grad
        assert not any(weight.grad_fn for weight in player._weights.values())
        again = module.forward_pass(module.adapted_weights(sample(), shots), played)
        torch.testing.assert_close(again.arm_logits, output.arm_logits, rtol=0.0, atol=1e-12)
        assert not again.arm_logits.requires_grad


def test_training_moves_the_rates_and_a_checkpoint_scores_the_same(tmp_path):
    chosen = AdaptationWithinEpisodes(EVERY, STEPS, CARRIED)
    module = MermaideModule(GAME, ARCHITECTURES[0], chosen, num_query_episodes=2)
    before = module.inner_loop.within.log_rates.detach().clone()
    sizes = {"meta_batch_size": 4, "num_val_tasks": 4, "num_test_tasks": 4}
    data = TaskDataModule(POPULATION, steps_per_epoch=1, **sizes)
    trainer = pl.Trainer(
        accelerator="cpu",
        default_root_dir=tmp_path,
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, data)
    assert not torch.equal(module.inner_loop.within.log_rates, before)
    (expected,) = trainer.test(module, data, verbose=False)
    assert {"test/return_0shot", "test/return_1shot"} <= expected.keys()
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "a.ckpt")
    assert trainer.test(loaded, data, verbose=False) == [expected]


def test_an_inner_loop_that_is_chosen_takes_the_place_of_none_between_episodes():
    module = build(between=NoAdaptation())
    given = {"rates": [0.0, 0.1], "policy_weights": [1.0]}
    inner_loop, _, rows = choose_inner_loop(module, sample(), **given)
    assert isinstance(inner_loop, InnerLoops)
    assert inner_loop.within is module.inner_loop.within
    played = module.scored_episodes(sample(), module.player(module.principal.weights()), 2)
    assert rows[0]["val_return"] == pytest.approx(played.returns.mean().item())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"every": 0}, "every must be"),
        ({"every": 2.5}, "every must be"),
        ({"within": NoAdaptation()}, "within must be a GradientAdaptation"),
        ({"between": AdaptationWithinEpisodes()}, "between must be another adaptation"),
        ({"between": 3}, "between must be another adaptation, got 3"),
        (
            {"within": GradientAdaptation(adapted=("initial_state",))},
            "initial_state has no effect within an episode",
        ),
    ],
)
def test_wrong_settings_are_refused_in_one_line(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        AdaptationWithinEpisodes(**wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"architecture": Architecture(world_model=NoWorldModel())},
        {"objective": Objective(forecast_weight=0.0, inner_policy_weight=1.0)},
        {"adaptation": AdaptationWithinEpisodes(within=GradientAdaptation(adapted=("policy",)))},
    ],
    ids=["no world model", "no weight", "policy alone"],
)
def test_steps_that_learn_nothing_are_refused_in_one_line(wrong):
    with pytest.raises(ValueError, match="learns from the forecast") as caught:
        MermaideModule(**{"adaptation": AdaptationWithinEpisodes()} | wrong)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("every", "is_said"), [(T - 1, False), (T, True)])
def test_episodes_that_end_before_the_first_step_are_noticed(every, is_said, caplog):
    MermaideModule(GAME, adaptation=AdaptationWithinEpisodes(every))
    assert ("no step is taken within the 11 steps" in caplog.text) == is_said
