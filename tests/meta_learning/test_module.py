import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from torch import Tensor

from mermaide_pl.agents import EXP3, UCB, BestResponse, EpsilonGreedy
from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import FullInformation, Game, PartialInformation
from mermaide_pl.meta_learning import (
    GradientAdaptation,
    NoAdaptation,
    Objective,
    meta_step,
    support,
)
from mermaide_pl.meta_learning.adaptation import adapt
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.inner_loop import part_of
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Interval, Population
from mermaide_pl.principals import (
    Architecture,
    GreedyPlayer,
    LearnedPlayer,
    NoIntervention,
    NoWorldModel,
    Player,
    SharedForecast,
)
from mermaide_pl.principals.grids import oracle_grid

pytestmark = pytest.mark.filterwarnings("ignore:The dirpath has changed")

UCB_AGENTS = Population([AgentFamily(UCB, {"beta": Interval(0.1, 0.7)})], num_arms=3)
MIXED = Population(
    [AgentFamily(UCB), AgentFamily(EpsilonGreedy), AgentFamily(EXP3), AgentFamily(BestResponse)],
    num_arms=3,
)
FOLLOWERS = Population([AgentFamily(BestResponse)], num_arms=3)
SMALL = Architecture(hidden_size=8, policy_size=8)
# a large inner rate, so that adapting changes what is played
STRONG = GradientAdaptation(inner_lr=5.0)


@dataclass
class Setting:
    """Principal and agents of a training."""

    population: Population = UCB_AGENTS
    settings: dict[str, Any] = field(default_factory=dict)

    def module(self) -> MermaideModule:
        pl.seed_everything(0)
        settings = {
            "game": Game(num_arms=3, num_steps=8),
            "architecture": SMALL,
            "adaptation": STRONG,
            "objective": Objective(inner_policy_weight=1.0),
            "num_query_episodes": 2,
        }
        return MermaideModule(**settings | self.settings)

    def data(self, **sizes: int) -> TaskDataModule:
        defaults = {
            "meta_batch_size": 4,
            "steps_per_epoch": 2,
            "num_val_tasks": 6,
            "num_test_tasks": 6,
        }
        return TaskDataModule(self.population, **defaults | sizes)


SETTINGS = {
    "default": Setting(),
    "no adaptation": Setting(settings={"adaptation": NoAdaptation()}),
    "no world model": Setting(
        settings={"architecture": Architecture(8, 8, world_model=NoWorldModel())}
    ),
    "first order": Setting(settings={"adaptation": GradientAdaptation(5.0, first_order=True)}),
    "shared recurrence": Setting(
        settings={"adaptation": GradientAdaptation(5.0, adapted=("world_model", "policy"))}
    ),
    "full information": Setting(
        settings={"game": Game(3, 8, observation=FullInformation(0.1, 0.1))}
    ),
    "mixed families": Setting(MIXED),
    "best response": Setting(FOLLOWERS),
}
ALL = pytest.mark.parametrize("name", SETTINGS)
ADAPTING = pytest.mark.parametrize("name", [name for name in SETTINGS if name != "no adaptation"])


def quiet_trainer(tmp_path: Path, **settings: Any) -> pl.Trainer:
    defaults = {
        "accelerator": "cpu",
        "default_root_dir": tmp_path,
        "max_epochs": 2,
        "logger": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return pl.Trainer(**defaults | settings)


def fitted(name: str, tmp_path: Path, **settings: Any) -> tuple[MermaideModule, pl.Trainer]:
    setting = SETTINGS[name]
    module, trainer = setting.module(), quiet_trainer(tmp_path, **settings)
    trainer.fit(module, setting.data())
    return module, trainer


def assert_same_weights(actual: pl.LightningModule, expected: pl.LightningModule) -> None:
    ours, theirs = actual.state_dict(), expected.state_dict()
    assert list(ours) == list(theirs)
    assert [key for key in ours if not torch.equal(ours[key], theirs[key])] == []


def scores(run: Callable, module: MermaideModule, data: TaskDataModule) -> dict[str, float]:
    """Metrics logged by `trainer.validate` or `trainer.test`."""
    (logged,) = run(module, data, verbose=False)
    return dict(logged)


def adapted_outside(module: MermaideModule, tasks, shots: int) -> dict[str, Tensor]:
    """Weights after adapting with gradients on, by the steps that training takes."""
    assert torch.is_grad_enabled()
    meta = module.principal.weights()
    if not shots:
        return meta
    support = rollout(
        tasks,
        LearnedPlayer(module.principal, meta),
        module.game,
        stream=Stream.SUPPORT,
        num_episodes=shots,
    )
    return adapt(module.principal, module.inner_loop, module.objective, support)[0]


@ALL
def test_a_fit_writes_a_checkpoint_that_scores_the_same(name, tmp_path):
    module, trainer = fitted(name, tmp_path)
    assert trainer.global_step == 4
    (path,) = tmp_path.rglob("*.ckpt")
    saved = torch.load(path, weights_only=True)
    assert saved["global_step"] == 4
    loaded = MermaideModule.load_from_checkpoint(path)
    assert_same_weights(loaded, module)
    data = SETTINGS[name].data()
    before = scores(quiet_trainer(tmp_path).validate, module, data)
    after = scores(quiet_trainer(tmp_path).validate, loaded, data)
    assert before == pytest.approx(after, rel=0.0, abs=0.0, nan_ok=True)
    assert 0.0 <= before["val/alignment_0shot"] <= 1.0


@ALL
def test_training_moves_every_weight(name, tmp_path):
    module, _ = fitted(name, tmp_path, enable_checkpointing=False)
    fresh = SETTINGS[name].module().state_dict()
    for key, value in module.principal.state_dict().items():
        assert value.isfinite().all()
        assert not torch.equal(value, fresh[f"principal.{key}"]), key


@ALL
def test_fitting_twice_gives_the_same_weights(name, tmp_path):
    once, _ = fitted(name, tmp_path, enable_checkpointing=False)
    again, _ = fitted(name, tmp_path, enable_checkpointing=False)
    assert_same_weights(again, once)


class GradientSpy(pl.Callback):
    """Notes which parameters have a gradient after each backward pass."""

    def __init__(self) -> None:
        self.without: list[set[str]] = []
        self.zero: list[set[str]] = []

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        gradients = {name: weight.grad for name, weight in pl_module.named_parameters()}
        self.without.append({name for name, grad in gradients.items() if grad is None})
        self.zero.append(
            {name for name, grad in gradients.items() if grad is not None and not grad.any()}
        )


@ALL
def test_every_parameter_gets_a_gradient_in_every_step(name, tmp_path):
    # a parameter without one would leave the processes of a distributed run apart, silently
    spy = GradientSpy()
    fitted(name, tmp_path, enable_checkpointing=False, callbacks=[spy])
    assert spy.without == [set()] * 4
    assert spy.zero == [set()] * 4


@ALL
def test_resuming_equals_the_uninterrupted_run(name, tmp_path):
    keep_all = pl.callbacks.ModelCheckpoint(tmp_path, filename="{epoch}", save_top_k=-1)
    whole, _ = fitted(name, tmp_path, max_epochs=4, callbacks=[keep_all])
    setting = SETTINGS[name]
    trainer = quiet_trainer(tmp_path / "resumed", max_epochs=4)
    resumed = setting.module()
    pl.seed_everything(1)  # what follows must not depend on it
    trainer.fit(resumed, setting.data(), ckpt_path=tmp_path / "epoch=1.ckpt")
    assert trainer.global_step == 8
    assert_same_weights(resumed, whole)
    halfway = MermaideModule.load_from_checkpoint(tmp_path / "epoch=1.ckpt")
    ends = (trained.principal.recurrence.weight_hh for trained in (halfway, whole))
    assert not torch.equal(*ends)


@ADAPTING
def test_a_plain_trainer_really_adapts_when_testing(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    setting = SETTINGS[name]
    module, data = setting.module(), setting.data()
    adapted: list[dict[str, Tensor]] = []
    original = module.adapted_weights

    def spy(tasks, shots):
        weights = original(tasks, shots)
        if shots:
            adapted.append({key: value.clone() for key, value in weights.items()})
        return weights

    module.adapted_weights = spy
    logged = scores(pl.Trainer(accelerator="cpu").test, module, data)

    tasks = setting.population.sample(range(6), split="test")
    (fast,), meta = adapted, module.principal.weights()
    assert fast.keys() == meta.keys()
    # all that may adapt moves but the critic, which the inner loss leaves out
    moved = {key for key in meta if not torch.equal(fast[key], meta[key].expand_as(fast[key]))}
    parts = setting.settings.get("adaptation", STRONG).adapted
    assert moved == {key for key in meta if part_of(key) in parts and "critic" not in key}
    assert all(not torch.equal(fast[key][0], fast[key][1]) for key in moved)

    for shots in (0, 1):
        weights = adapted_outside(module, tasks, shots)
        if shots:
            for key, value in weights.items():
                torch.testing.assert_close(fast[key], value, rtol=1e-5, atol=1e-7)
        played = rollout(
            tasks,
            GreedyPlayer(module.principal, weights),
            module.game,
            stream=Stream.SCORE,
            num_episodes=module.num_eval_episodes,
        )
        for quantity in ("return", "alignment", "intervention_rate"):
            plural = "returns" if quantity == "return" else quantity
            expected = getattr(played, plural).mean().item()
            assert logged[f"test/{quantity}_{shots}shot"] == pytest.approx(expected, abs=1e-6)
    shots = [logged[f"test/return_{shots}shot"] for shots in (0, 1)]
    assert logged["test/return"] == pytest.approx(sum(shots) / 2, abs=1e-6)


def test_adapting_changes_what_is_played(tmp_path):
    module, data = SETTINGS["default"].module(), SETTINGS["default"].data()
    logged = scores(quiet_trainer(tmp_path).test, module, data)
    assert logged["test/intervention_rate_0shot"] != logged["test/intervention_rate_1shot"]
    assert logged["test/forecast_log_loss_0shot"] != logged["test/forecast_log_loss_1shot"]


def test_what_is_logged(tmp_path):
    behaviour = {"return", "alignment", "intervention_rate", "normalised_return"}
    forecast = {"forecast_accuracy", "forecast_log_loss", "forecast_calibration_error"}

    def expected(stage: str, shots: tuple[int, ...], quantities: set[str]) -> set[str]:
        each = {f"{stage}/{quantity}_{number}shot" for quantity in quantities for number in shots}
        return each | {f"{stage}/return"}

    for name, shots, quantities in (
        ("default", (0, 1), behaviour | forecast),
        ("no adaptation", (0,), behaviour | forecast),
        ("no world model", (0, 1), behaviour),
    ):
        setting = SETTINGS[name]
        trainer = quiet_trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
        trainer.fit(setting.module(), setting.data())
        logged = set(trainer.logged_metrics)
        train = {
            "loss",
            "return",
            "alignment",
            "intervention_rate",
            "policy_entropy",
            "skipped_steps",
        }
        assert {key for key in logged if key.startswith("train/")} == {f"train/{t}" for t in train}
        assert {key for key in logged if key.startswith("val/")} == expected(
            "val", shots, quantities
        )
        tested = scores(trainer.test, setting.module(), setting.data())
        assert set(tested) == expected("test", shots, quantities)


def test_the_shots_of_the_adaptation_are_evaluated(tmp_path):
    setting = Setting(settings={"adaptation": GradientAdaptation(5.0, num_shots=3)})
    logged = scores(quiet_trainer(tmp_path).test, setting.module(), setting.data())
    assert {key[-5:] for key in logged} - {"eturn"} == {"0shot", "3shot"}


@pytest.mark.parametrize("first", ["fit", "validate", "test"])
@pytest.mark.parametrize("second", ["fit", "validate", "test"])
def test_one_module_serves_one_run_after_another(first, second, tmp_path):
    module, data = SETTINGS["default"].module(), SETTINGS["default"].data()
    for run in (first, second):
        trainer = quiet_trainer(tmp_path, max_epochs=1, enable_checkpointing=False)
        getattr(trainer, run)(module, datamodule=data)
    stage = {"fit": "val", "validate": "val", "test": "test"}[second]
    assert 0.0 <= trainer.logged_metrics[f"{stage}/alignment_1shot"] <= 1.0


def test_validating_first_does_not_change_the_training(tmp_path):
    expected, _ = fitted("default", tmp_path, enable_checkpointing=False)
    module, data = SETTINGS["default"].module(), SETTINGS["default"].data()
    quiet_trainer(tmp_path).validate(module, data, verbose=False)
    quiet_trainer(tmp_path, enable_checkpointing=False).fit(module, data)
    assert_same_weights(module, expected)


def test_scores_do_not_depend_on_an_earlier_population(tmp_path):
    setting, used = SETTINGS["default"], SETTINGS["default"].module()
    others = TaskDataModule(FOLLOWERS, num_val_tasks=6)
    trainer = quiet_trainer(tmp_path)
    first = scores(trainer.validate, used, others)
    second = scores(trainer.validate, used, setting.data())
    assert first["val/normalised_return_0shot"] != second["val/normalised_return_0shot"]
    assert second == scores(trainer.validate, setting.module(), setting.data())


def test_the_yardsticks_of_the_validation_agents(tmp_path):
    setting = SETTINGS["default"]
    module = setting.module()
    logged = scores(quiet_trainer(tmp_path).validate, module, setting.data())
    tasks = UCB_AGENTS.sample(range(6), split="val")

    def mean_return(player: Player) -> float:
        played = rollout(tasks, player, module.game, stream=Stream.SCORE, num_episodes=2)
        return played.returns.mean().item()

    yardsticks = {
        "no intervention": mean_return(NoIntervention()),
        "oracle": max(map(mean_return, oracle_grid())),
    }
    assert module.val_yardsticks == pytest.approx(yardsticks, abs=1e-6)
    none, oracle = (module.val_yardsticks[name] for name in yardsticks)
    for shots in (0, 1):
        share = (logged[f"val/return_{shots}shot"] - none) / (oracle - none)
        assert logged[f"val/normalised_return_{shots}shot"] == pytest.approx(share, abs=1e-5)


def test_scores_do_not_depend_on_the_batches(tmp_path, monkeypatch):
    setting, found = SETTINGS["mixed families"], []
    for batch_size in (6, 4, 1):
        data = setting.data()
        population, make = data.val_population, data._loader
        monkeypatch.setattr(
            data,
            "val_dataloader",
            lambda: make(population, "val", 6, batch_size),  # noqa: B023
        )
        found.append(scores(quiet_trainer(tmp_path).validate, setting.module(), data))
    assert found[1] == pytest.approx(found[0], abs=1e-6, nan_ok=True)
    assert found[2] == pytest.approx(found[0], abs=1e-6, nan_ok=True)


def test_what_is_logged_of_a_step_is_of_its_whole_meta_batch(tmp_path):
    class Steps(pl.Callback):
        def on_train_batch_end(self, trainer, *_):
            if trainer.global_step > len(logged):
                values = trainer.callback_metrics.items()
                logged.append({name: v.item() for name, v in values if "train/" in name})

    histories = []
    for batches in (1, 2):
        logged: list[dict[str, float]] = []
        setting, callbacks = SETTINGS["default"], [Steps()]
        trainer = quiet_trainer(
            tmp_path,
            accumulate_grad_batches=batches,
            callbacks=callbacks,
            enable_checkpointing=False,
        )
        sizes = {"meta_batch_size": 4 // batches, "steps_per_epoch": 2 * batches}
        trainer.fit(setting.module(), setting.data(**sizes))
        histories.append(logged)
    assert len(histories[0]) == 4
    for one, several in zip(*histories, strict=True):
        assert several == pytest.approx(one, abs=1e-5)


def test_scores_are_those_of_all_batches(tmp_path):
    # 130 tasks make more than one batch
    setting = Setting(settings={"adaptation": NoAdaptation()})
    module = setting.module()
    logged = scores(quiet_trainer(tmp_path).validate, module, setting.data(num_val_tasks=130))
    played = rollout(
        UCB_AGENTS.sample(range(130), split="val"),
        GreedyPlayer(module.principal, module.principal.weights()),
        module.game,
        stream=Stream.SCORE,
        num_episodes=module.num_eval_episodes,
    )
    assert logged["val/return_0shot"] == pytest.approx(played.returns.mean().item(), abs=1e-6)


class RateSpy(pl.Callback):
    """Notes the outer rates of each step."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self.rates.append([group["lr"] for group in trainer.optimizers[0].param_groups])


def test_the_outer_rates_fall_linearly_to_zero(tmp_path):
    spy = RateSpy()
    setting = Setting(settings={"meta_lr": 0.4, "inner_rates_lr": 0.8})
    trainer = quiet_trainer(tmp_path, enable_checkpointing=False, callbacks=[spy])
    trainer.fit(setting.module(), setting.data())
    assert [rates[0] for rates in spy.rates] == pytest.approx([0.4, 0.3, 0.2, 0.1])
    assert [rates[1] for rates in spy.rates] == pytest.approx([0.8, 0.6, 0.4, 0.2])


@pytest.mark.parametrize("precision", ["16-true", "16-mixed"])
def test_half_precision_is_refused(precision, tmp_path):
    setting = SETTINGS["default"]
    module, data = setting.module(), setting.data()
    trainer = quiet_trainer(tmp_path)
    # set so, for where there is no GPU Lightning turns 16-mixed into bf16-mixed
    trainer.strategy.precision_plugin.precision = precision
    for run in (trainer.fit, trainer.validate, trainer.test):
        with pytest.raises(ValueError, match=f"precision {precision} .*allowed: 32-true") as caught:
            run(module, data)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [("64-true", torch.float64), ("bf16-mixed", torch.float32)],
)
def test_other_precisions_run(precision, dtype, tmp_path):
    module, _ = fitted("default", tmp_path, precision=precision)
    assert {weight.dtype for weight in module.parameters()} == {dtype}
    assert all(weight.isfinite().all() for weight in module.parameters())
    (path,) = tmp_path.rglob("*.ckpt")
    data = SETTINGS["default"].data()
    trainer = quiet_trainer(tmp_path, precision=precision)
    before = scores(trainer.test, module, data)
    assert before == scores(trainer.test, MermaideModule.load_from_checkpoint(path), data)


def test_every_precision_that_is_called_allowed_runs(tmp_path):
    setting, trainer = SETTINGS["default"], quiet_trainer(tmp_path, precision="16-true")
    with pytest.raises(ValueError, match="allowed: ") as caught:
        trainer.fit(setting.module(), setting.data())
    allowed = str(caught.value).partition("allowed: ")[2].split(", ")
    assert {"32-true", "64-true", "bf16-mixed"} <= set(allowed)
    for precision in allowed:
        fitted("default", tmp_path, enable_checkpointing=False, precision=precision)


def test_double_precision_is_the_same_game(tmp_path):
    rough = fitted("best response", tmp_path, enable_checkpointing=False)[0]
    exact = fitted("best response", tmp_path, enable_checkpointing=False, precision="64-true")[0]
    for name, weight in rough.principal.state_dict().items():
        torch.testing.assert_close(
            weight.double(), exact.principal.state_dict()[name], rtol=0.0, atol=1e-3
        )


def test_chunks_of_a_meta_batch_add_up(tmp_path):
    """Two accumulated batches of 4 take the step of one batch of 8."""
    setting, ends = SETTINGS["default"], []
    for size, accumulated in ((8, 1), (4, 2)):
        module = setting.module().double()
        trainer = quiet_trainer(
            tmp_path,
            max_epochs=1,
            precision="64-true",
            accumulate_grad_batches=accumulated,
            enable_checkpointing=False,
        )
        trainer.fit(module, setting.data(meta_batch_size=size, steps_per_epoch=16 // size))
        assert trainer.global_step == 2
        ends.append(module.state_dict())
    for name, value in ends[0].items():
        torch.testing.assert_close(ends[1][name], value, rtol=0.0, atol=1e-9)


ANOTHER = {
    "arms": ({"game": Game(4, 8)}, r"game\.num_arms = 3, the configuration has 4"),
    "levels": (
        {"game": Game(3, 8, (0.0, 0.5, 1.0))},
        r"game\.number of bonuses = 2, the configuration has 3",
    ),
    "size": (
        {"architecture": Architecture(9, 8)},
        r"architecture\.hidden_size = 8, the configuration has 9",
    ),
    "world model": (
        {"architecture": Architecture(8, 8, world_model=NoWorldModel())},
        r"architecture\.world_model = .*SharedForecast.*, the configuration has .*NoWorldModel",
    ),
    "observation": (
        {"game": Game(3, 8, observation=FullInformation())},
        r"game\.observation = .*PartialInformation.*, the configuration has .*FullInformation",
    ),
    "adaptation": (
        {"adaptation": NoAdaptation()},
        r"adaptation = .*GradientAdaptation.*, the configuration has .*NoAdaptation",
    ),
}


@pytest.fixture(scope="module")
def default_checkpoint(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("default")
    fitted("default", folder, max_epochs=1)
    (path,) = folder.rglob("*.ckpt")
    return path


@pytest.mark.parametrize("name", ANOTHER)
@pytest.mark.parametrize("run", ["fit", "validate", "test"])
def test_a_checkpoint_of_another_kind_is_refused(run, name, default_checkpoint, tmp_path):
    settings, message = ANOTHER[name]
    arms = settings.get("game", Game(3, 8)).num_arms
    setting = Setting(Population([AgentFamily(UCB)], num_arms=arms), settings)
    start = getattr(quiet_trainer(tmp_path), run)
    with pytest.raises(ValueError, match=message) as caught:
        start(setting.module(), datamodule=setting.data(), ckpt_path=default_checkpoint)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"game": Game(3, 8, cost=0.1)},
        {"game": Game(3, 8, cost=2)},
        {"game": Game(3, 8, observation=PartialInformation(0.2))},
        {"meta_lr": 0.5},
        {"num_eval_episodes": 5},
    ],
    ids=str,
)
def test_a_checkpoint_is_scored_by_other_rules(settings, default_checkpoint, tmp_path):
    setting = Setting(settings=settings)
    run = quiet_trainer(tmp_path).test
    (logged,) = run(
        setting.module(), datamodule=setting.data(), ckpt_path=default_checkpoint, verbose=False
    )
    assert 0.0 <= logged["test/alignment_1shot"] <= 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_query_episodes": 0}, r"num_query_episodes .*at least 1, got 0"),
        ({"num_eval_episodes": 0}, r"num_eval_episodes .*at least 1, got 0"),
        ({"meta_lr": 0.0}, r"meta_lr .*above 0 .*, got 0\.0"),
        ({"inner_rates_lr": -1.0}, r"inner_rates_lr .*above 0 and at most .*, got -1\.0"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        MermaideModule(**settings)


def test_agents_of_another_game_are_refused(tmp_path):
    setting = Setting(UCB_AGENTS, {"game": Game(4, 8)})
    with pytest.raises(ValueError, match="the agents have 3 arms, the game has 4"):
        quiet_trainer(tmp_path).fit(setting.module(), setting.data())


@dataclass(frozen=True)
class OwnForecast(SharedForecast):
    """A world model that the native engine does not support."""


@pytest.mark.parametrize(
    ("engine", "world_model", "line"),
    [
        ("auto", SharedForecast(), r"engine: native, \d+ threads?"),
        ("torch", SharedForecast(), "engine: torch, on cpu"),
        (
            "auto",
            OwnForecast(),
            "engine: torch, on cpu: the native engine does not support all parts .*",
        ),
    ],
)
def test_fit_says_what_computes(engine, world_model, line, caplog, tmp_path):
    caplog.set_level("INFO", "mermaide_pl")
    setting = Setting(
        settings={"architecture": Architecture(8, 8, world_model=world_model), "engine": engine}
    )
    quiet_trainer(tmp_path, max_steps=1).fit(setting.module(), setting.data())
    (said,) = [record.getMessage() for record in caplog.records if "engine" in record.msg]
    assert re.fullmatch(line, said)


def test_both_engines_train_the_same_principal(tmp_path):
    trained = []
    for engine in ("native", "torch"):
        setting = Setting(settings={"engine": engine})
        module, trainer = setting.module(), quiet_trainer(tmp_path, precision="64-true")
        trainer.fit(module, setting.data())
        trained.append(module.state_dict())
    native, reference = trained
    for name, weight in reference.items():
        torch.testing.assert_close(native[name], weight, rtol=1e-9, atol=1e-9)


def test_a_checkpoint_does_not_say_which_engine_to_use(tmp_path):
    setting = Setting(settings={"engine": "torch"})
    module, trainer = setting.module(), quiet_trainer(tmp_path, max_steps=1)
    trainer.fit(module, setting.data())
    trainer.save_checkpoint(tmp_path / "any.ckpt")
    loaded = MermaideModule.load_from_checkpoint(tmp_path / "any.ckpt")
    assert loaded.engine_name == "auto"


@pytest.mark.parametrize("adaptation", [STRONG, NoAdaptation()], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("zero_shot_weight", [0.0, 0.5])
def test_episodes_are_counted_as_they_are_played(monkeypatch, adaptation, zero_shot_weight):
    objective = Objective(zero_shot_weight=zero_shot_weight)
    settings = {"adaptation": adaptation, "objective": objective, "num_zero_shot_episodes": 3}
    module, played = Setting(settings=settings).module(), []

    def counted(*args, num_episodes, **others):
        played.append(num_episodes)
        return rollout(*args, num_episodes=num_episodes, **others)

    for plays in (meta_step, support):
        monkeypatch.setattr(plays, "rollout", counted)
    module.take_step(UCB_AGENTS.sample(range(2), split="train"), progress=0.0)
    assert module.num_episodes == sum(played)
