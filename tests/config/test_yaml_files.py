import pytest
import yaml

from mermaide_pl.config.yaml_files import current_names, load_yaml


def test_numbers_are_read_as_jsonargparse_reads_them():
    assert load_yaml("{a: 1e-3, b: 2, c: yes, d: null}") == {
        "a": 1e-3,
        "b": 2,
        "c": True,
        "d": None,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 1, c: 2}", r"line 2, column 11: the key 'c' is given twice"),
        ("1: 2", r"line 1, column 1: a key must be a string"),
        ("__path__: x", r"the key '__path__' must not begin with '__'"),
        ('a: "x\\0"', r"line 1, column 4: a string must not contain the null character"),
        ("a: &a [*a]", r"a value contains itself"),
        ("a: &a {b: *a}", r"a value contains itself"),
        ("[" * 1000, r"nested too deeply"),
    ],
)
def test_values_that_would_silently_change_meaning_are_refused(text, message):
    with pytest.raises(yaml.YAMLError, match=message):
        load_yaml(text)


def test_file_names_are_not_taken_for_modules():
    assert current_names(["a.yaml", "--config=a.b.yml", "/x/a.yaml"]) == [
        "./a.yaml",
        "--config=./a.b.yml",
        "/x/a.yaml",
    ]


def test_the_engine_goes_by_its_earlier_name_too():
    assert load_yaml("model: {kernel: torch, meta_lr: 1.0}\ndata: {kernel: 1}") == {
        "model": {"engine": "torch", "meta_lr": 1.0},
        "data": {"kernel": 1},
    }


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mermaide_pl.tasks.UniformRewards", "mermaide_pl.populations.UniformRewards"),
        ("mermaide_pl.figures.FigureLogger", "mermaide_pl.reporting.FigureLogger"),
        ("mermaide_pl.principal.history.Tallies", "mermaide_pl.principals.CountFeatures"),
        ("mermaide_pl.game.PartialInformation", "mermaide_pl.game.PartialInformation"),
        ("mermaide_pl.agents.ucb.UCB", "mermaide_pl.agents.ucb.UCB"),
        ("my.mermaide_pl.tasks.Mine", "my.mermaide_pl.tasks.Mine"),
        ("figures", "figures"),
    ],
)
def test_classes_of_earlier_versions_get_their_present_names(old, new):
    assert load_yaml(f"a: [{{class_path: {old}}}]\nb: {old}") == {
        "a": [{"class_path": new}],
        "b": new,
    }
    assert current_names(f"--model.slot={old}") == f"--model.slot={new}"
