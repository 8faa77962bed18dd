from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from matplotlib import pyplot
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import plugin_data_pb2

from mermaide_pl.agents import UCB
from mermaide_pl.game import Game
from mermaide_pl.meta_learning.datamodule import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.populations import AgentFamily, Population
from mermaide_pl.principals import Architecture, NoWorldModel
from mermaide_pl.reporting.figures import FigureLogger, SettingsLogger, tensorboard
from mermaide_pl.runtime.run_summary import setting_rows

TAGS = ["figures/episode", "figures/intervention_rate", "figures/learning_curves"]
# 2 batches of 3 agents, 1 support, 4 zero-shot and 2 query episodes, 8 steps
AGENT_STEPS_PER_EPOCH = 2 * 3 * (1 + 4 + 2) * 8

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pytorch_lightning")


def module(**architecture: Any) -> MermaideModule:
    torch.manual_seed(0)
    return MermaideModule(
        Game(num_arms=3, num_steps=8),
        Architecture(hidden_size=4, policy_size=4, **architecture),
        num_query_episodes=2,
        num_eval_episodes=1,
    )


def data() -> TaskDataModule:
    population = Population([AgentFamily(UCB, {"beta": 0.5})], num_arms=3)
    return TaskDataModule(population, meta_batch_size=3, steps_per_epoch=2, num_val_tasks=4)


def trainer(folder: Path, callback: pl.Callback, **settings: Any) -> pl.Trainer:
    settings = {
        "logger": TensorBoardLogger(folder, name="", version=""),
        "max_epochs": 2,
        "enable_checkpointing": False,
        "num_sanity_val_steps": 1,
    } | settings
    return pl.Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        enable_progress_bar=False,
        enable_model_summary=False,
        log_every_n_steps=1,
        callbacks=[callback],
        **settings,
    )


def images(folder: Path) -> dict[str, list[int]]:
    """Tag to the global steps at which it was logged."""
    events = EventAccumulator(str(folder), size_guidance={"images": 0})
    events.Reload()
    return {tag: [event.step for event in events.Images(tag)] for tag in events.Tags()["images"]}


def test_every_validation_of_a_run_logs_the_three_figures(tmp_path: Path) -> None:
    callback, learner = FigureLogger(), module()
    run = trainer(tmp_path, callback)
    run.fit(learner, data())
    assert images(tmp_path) == {tag: [1, 3] for tag in TAGS}  # none from the sanity check
    assert pyplot.get_fignums() == []
    state = callback.state_dict()
    assert state["agent_steps"] == 2 * AGENT_STEPS_PER_EPOCH
    assert state["progress"] == [AGENT_STEPS_PER_EPOCH, 2 * AGENT_STEPS_PER_EPOCH]
    assert state["shots"] == [0, 1]
    for shots in (0, 1):
        last = learner.last_evaluation[shots].returns.mean().item()
        assert state["returns"][shots][-1] == pytest.approx(last, abs=1e-6)
        assert state["returns"][shots][-1] == run.callback_metrics[f"val/return_{shots}shot"]


def test_a_run_without_world_model_logs_them_too(tmp_path: Path) -> None:
    learner = module(world_model=NoWorldModel())
    trainer(tmp_path, FigureLogger(), max_epochs=1).fit(learner, data())
    assert images(tmp_path) == {tag: [1] for tag in TAGS}


def test_figures_wait_for_every_nth_validation_but_curves_do_not(tmp_path: Path) -> None:
    callback = FigureLogger(every_n_validations=2)
    trainer(tmp_path, callback).fit(module(), data())
    assert images(tmp_path) == {tag: [3] for tag in TAGS}
    assert len(callback.state_dict()["progress"]) == 2


def test_another_logger_is_left_alone_and_no_figure_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback = FigureLogger()
    monkeypatch.setattr(callback, "_draw", lambda module: pytest.fail("drew without TensorBoard"))
    trainer(tmp_path, callback, logger=CSVLogger(tmp_path), max_epochs=1).fit(module(), data())
    assert len(callback.state_dict()["progress"]) == 1


def test_a_process_other_than_the_first_draws_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callback, learner = FigureLogger(), module()
    run = trainer(tmp_path, callback, max_epochs=1)
    run.fit(learner, data())
    monkeypatch.setattr(callback, "_draw", lambda module: pytest.fail("drew on another process"))
    monkeypatch.setattr(type(run), "is_global_zero", property(lambda self: False))
    callback.on_validation_end(run, learner)


def test_validating_again_without_training_does_not_prolong_the_curve(tmp_path: Path) -> None:
    callback, learner = FigureLogger(), module()
    run = trainer(tmp_path, callback, max_epochs=1)
    run.fit(learner, data())
    before = callback.state_dict()
    run.validate(learner, data(), verbose=False)
    assert callback.state_dict() == before
    assert len(before["returns"][0]) == 1


def test_a_resumed_run_continues_its_curve(tmp_path: Path) -> None:
    before, after = FigureLogger(), FigureLogger()
    first = trainer(tmp_path / "first", before, max_epochs=1)
    first.fit(module(), data())
    first.save_checkpoint(tmp_path / "last.ckpt")
    torch.load(tmp_path / "last.ckpt", weights_only=True)  # holds plain data only
    second = trainer(tmp_path / "second", after)
    second.fit(module(), data(), ckpt_path=tmp_path / "last.ckpt")
    state = after.state_dict()
    assert state["progress"] == [AGENT_STEPS_PER_EPOCH, 2 * AGENT_STEPS_PER_EPOCH]
    for shots in (0, 1):
        earlier, later = state["returns"][shots]
        assert [earlier] == before.state_dict()["returns"][shots]
        assert later == second.callback_metrics[f"val/return_{shots}shot"]
    assert images(tmp_path / "second") == {tag: [3] for tag in TAGS}


def test_the_yardsticks_of_the_module_are_drawn(tmp_path: Path) -> None:
    callback, learner = FigureLogger(), module()
    trainer(tmp_path, callback, max_epochs=1).fit(learner, data())
    figures = callback._draw(learner)
    (curves,) = figures["learning_curves"].axes
    drawn = {text.get_text(): text.xy[1] for text in curves.texts}
    assert drawn == learner.val_yardsticks
    assert set(drawn) == {"no intervention", "oracle"}
    mean = (learner.last_evaluation[1].levels > 0).double().mean((0, 1))
    assert figures["intervention_rate"].axes[0].lines[1].get_ydata() == pytest.approx(mean.numpy())
    assert len(figures["episode"].axes) == 2


def test_refuses_a_period_below_one() -> None:
    with pytest.raises(ValueError, match=r"every_n_validations must be .* at least 1, got 0"):
        FigureLogger(every_n_validations=0)


def recorded(folder: Path) -> EventAccumulator:
    """Content of the single event file of a run; there is no sub-run."""
    (path,) = folder.rglob("events.out.tfevents.*")
    assert path.parent == folder
    events = EventAccumulator(str(path), size_guidance={"scalars": 0, "tensors": 0})
    return events.Reload()


def session(folder: Path) -> dict[str, Any]:
    """The written parts of the line in the HPARAMS tab, by name."""
    metadata = recorded(folder).summary_metadata
    parts = {}
    for tag in metadata:
        if tag.startswith("_hparams_/"):
            content = metadata[tag].plugin_data.content
            data = plugin_data_pb2.HParamsPluginData.FromString(content)
            name = data.WhichOneof("data")
            parts[name] = getattr(data, name)
    return parts


def text(folder: Path, name: str) -> str:
    (event,) = recorded(folder).Tensors(f"run/{name}/text_summary")
    (content,) = event.tensor_proto.string_val
    return content.decode()


def test_settings_and_returns_make_one_line_of_hparams(tmp_path: Path) -> None:
    learner = module()
    run = trainer(tmp_path, SettingsLogger())
    run.fit(learner, data())
    parts = session(tmp_path)
    assert set(parts) == {"experiment", "session_start_info", "session_end_info"}
    values = parts["session_start_info"].hparams
    shown = {name: getattr(values[name], values[name].WhichOneof("kind")) for name in values}
    assert shown == setting_rows(learner.spec)
    assert shown["game.num_steps"] == 8
    assert {info.name for info in parts["experiment"].hparam_infos} == set(shown)
    # the tab shows the last value of each of these curves
    metrics = [info.name.tag for info in parts["experiment"].metric_infos]
    assert metrics[:3] == ["val/return", "val/return_0shot", "val/return_1shot"]
    events = recorded(tmp_path)
    for name in metrics:
        values = [event.value for event in events.Scalars(name)]
        assert len(values) == 2  # one for each validation, and no other
        assert values[-1] == run.callback_metrics[name]


def test_a_run_that_was_broken_off_is_not_ended(tmp_path: Path) -> None:
    class Breaks(pl.Callback):
        def on_train_epoch_end(self, *_: Any) -> None:
            raise RuntimeError("broken off")

    run = trainer(tmp_path, SettingsLogger())
    run.callbacks.append(Breaks())
    with pytest.raises(RuntimeError, match="broken off"):
        run.fit(module(), data())
    run.logger.experiment.flush()
    assert set(session(tmp_path)) == {"experiment", "session_start_info"}


def test_settings_and_populations_are_tables(tmp_path: Path) -> None:
    batches = data()
    batches.val_population = Population([AgentFamily(UCB, {"beta": [0.25, 1.0]})], num_arms=3)
    trainer(tmp_path, SettingsLogger(), max_epochs=1).fit(module(), batches)
    settings = text(tmp_path, "settings").splitlines()
    assert settings[:2] == ["| setting | value |", "| --- | --- |"]
    assert "| game.num_arms | 3 |" in settings
    train, val = text(tmp_path, "populations").split("### Validation agents")
    assert train.startswith("### Training agents\n\n3 arms, UniformRewards")
    assert train.rstrip().endswith("| UCB | beta 0.5 | 100% |")
    assert val.endswith("| UCB | beta 0.25, 1 | 100% |")


def test_what_stands_in_a_table_is_no_markup() -> None:
    lines = tensorboard._markdown(("setting", "value"), [("a|b", "<i>*x*")]).splitlines()
    assert lines[1:] == ["| --- | --- |", "| a&#124;b | &#60;i&#62;&#42;x&#42; |"]


def test_a_run_on_loaders_of_its_own_has_its_settings(tmp_path: Path) -> None:
    batches = data()
    loaders = batches.train_dataloader(), batches.val_dataloader()
    trainer(tmp_path, SettingsLogger(), max_epochs=1).fit(module(), *loaders)
    assert "game.num_arms" in text(tmp_path, "settings")
    assert "run/populations/text_summary" not in recorded(tmp_path).Tags()["tensors"]


@pytest.mark.parametrize("kind", ["another", "none"])
def test_settings_need_no_tensorboard(kind: str, tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path) if kind == "another" else False
    trainer(tmp_path, SettingsLogger(), logger=logger, max_epochs=1).fit(module(), data())
    assert not list(tmp_path.rglob("events.out.tfevents.*"))


def test_validation_alone_logs_no_settings(tmp_path: Path) -> None:
    learner = module()
    trainer(tmp_path / "fit", SettingsLogger(), max_epochs=1).fit(learner, data())
    alone = trainer(tmp_path / "val", SettingsLogger())
    alone.validate(learner, data(), verbose=False)
    assert session(tmp_path / "val") == {}
