"""What the source says of a constructor is what Python says of it."""

import inspect

import pytest
import pytorch_lightning as pl

from mermaide_pl import agents, meta_learning, objectives, populations, principals
from mermaide_pl.cli.early_checks import SECTIONS
from mermaide_pl.config.serialization import import_path
from mermaide_pl.config.signatures import arguments, unknown_key
from mermaide_pl.experiments.comparison.settings import Comparison
from mermaide_pl.meta_learning import TaskDataModule
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.sweeps.settings import Sweep

PUBLIC = {
    f"{room.__name__}.{name}": getattr(room, name)
    for room in (agents, meta_learning, objectives, populations, principals)
    for name in room.__all__
    if inspect.isclass(cls := getattr(room, name)) and not inspect.isabstract(cls)
    if not getattr(cls, "_is_protocol", False)
}
OTHERS = {import_path(each): each for each in (Comparison, Sweep, MermaideModule, TaskDataModule)}


@pytest.mark.parametrize("path", [*PUBLIC, *OTHERS, SECTIONS["trainer"]])
def test_the_source_names_the_arguments_that_python_names(path):
    cls = {**PUBLIC, **OTHERS, SECTIONS["trainer"]: pl.Trainer}[path]
    found = arguments(path)
    if found is not None:  # where the source alone does not tell
        assert set(found) == set(inspect.signature(cls).parameters)


def test_the_source_tells_of_most_classes():
    assert sum(arguments(path) is not None for path in PUBLIC) > 0.8 * len(PUBLIC)
    assert all(arguments(path) for path in SECTIONS.values())


MODEL = SECTIONS["model"]
UCB = {"rule": "mermaide_pl.agents.UCB", "hyper_parameters": {"beta": 0.3}}
INNER = "mermaide_pl.meta_learning.GradientAdaptation"


@pytest.mark.parametrize(
    ("cls", "content", "key"),
    [
        (MODEL, {"gmae": {}}, "model.gmae"),
        (MODEL, {"game": {"num_arm": 3}}, "model.game.num_arm"),
        (MODEL, {"game.num_arm": 3}, "model.game.num_arm"),
        (MODEL, {"gmae+": 3}, "model.gmae"),
        (
            MODEL,
            {"adaptation": {"class_path": INNER, "init_args": {"rate": 1.0}}},
            "model.adaptation.init_args.rate",
        ),
        ("mermaide_pl.populations.Population", {"families": [UCB | {"wight": 2}]}, "wight"),
        ("pytorch_lightning.Trainer", {"max_epoch": 3}, "max_epoch"),
        (
            "pytorch_lightning.Trainer",
            {
                "callbacks": [
                    {
                        "class_path": "pytorch_lightning.callbacks.ModelCheckpoint",
                        "init_args": {"monitr": "val/return"},
                    }
                ]
            },
            "callbacks.init_args.monitr",
        ),
    ],
)
def test_an_unknown_key_is_found_with_those_that_are_allowed(cls, content, key):
    assert f"{key}', allowed: " in unknown_key(cls, content, "model" if cls == MODEL else "")


@pytest.mark.parametrize(
    "content",
    [
        {"game": {"num_arms": 3}, "architecture": {"hidden_size": 4}},
        {"game": "a file"},
        {"game.num_arms": 3, "game.bonuses+": [1.0]},
        {"game": {"init_args": {"of a class named elsewhere": 1}}},
        {"adaptation": {"class_path": "somebody.Elses", "init_args": {"anything": 1}}},
        {"adaptation": INNER},
        "text",
        None,
    ],
)
def test_what_the_source_does_not_tell_passes(content):
    assert unknown_key(MODEL, content) is None
