"""`mermaide fit-learner` from a table to its files, and mistakes in one line."""

import csv

import pytest
import torch

from mermaide_pl.cli.main import main
from mermaide_pl.experiments.learners import fits, recurrent
from mermaide_pl.experiments.learners.recurrent import Training
from mermaide_pl.principals import HumanFitted


@pytest.fixture
def log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    generator = torch.Generator().manual_seed(0)
    with open("choices.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["person", "trial", "colour", "agent_reward"])
        for person in range(6):
            colours = torch.randint(2, (30,), generator=generator).tolist()
            for trial, colour in enumerate(colours):
                writer.writerow([f"p{person}", trial, ["blue", "red"][colour], trial % 3 % 2])
    return "choices.csv"


COLUMNS = ("--columns", "agent=person,step=trial,arm=colour", "--arms", "blue,red")


def test_a_table_is_fitted(log, tmp_path, capsys):
    names = ("--models", "epsilon_greedy", "catie")
    main(["fit-learner", "--logs", log, *COLUMNS, *names, "--folds", "2", "--recovery", "3"])
    said = capsys.readouterr().out
    assert "agents: 6, arms: 2, episodes: 6, of 30 steps" in said
    assert "catie: tau " in said
    assert "results: fits" in said
    assert {path.name for path in (tmp_path / "fits").iterdir()} == {
        "fits.csv",
        "summary.json",
        "recovery.csv",
        "forecasts.png",
    }


def test_models_fitted_before_an_interrupt_are_kept(log, tmp_path, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(fits, "_fit_recurrent", interrupt)
    names = ("--models", "epsilon_greedy", "recurrent", "--recovery", "0", "--folds", "2")
    with pytest.raises(SystemExit):
        main(["fit-learner", "--logs", log, *COLUMNS, *names])
    with open("fits/fits.csv", encoding="utf-8", newline="") as file:
        assert {row["model"] for row in csv.DictReader(file)} == {"epsilon_greedy"}
    assert (tmp_path / "fits/forecasts.png").exists()


def test_the_recurrent_model_of_all_is_kept_as_an_agent(log, tmp_path, monkeypatch, capsys):
    small = Training(hidden_size=3, forecast_size=2, num_epochs=1, num_steps=1)
    monkeypatch.setattr(recurrent.train, "__defaults__", (small,))
    names = ("--models", "epsilon_greedy", "--recovery", "0", "--folds", "2")
    saved = ("--save_recurrent", "models/people.ckpt")
    main(["fit-learner", "--logs", log, *COLUMNS, *names, *saved])
    assert "recurrent model of all agents: models/people.ckpt" in capsys.readouterr().out
    agents = HumanFitted("models/people.ckpt")
    assert agents.model.game.num_arms == 2
    assert agents.model.architecture.hidden_size == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--logs", "choices.csv", "--save_recurrent", ""], "--save_recurrent is empty"),
        (
            ["--logs", "choices.csv", "--save_recurrent", "choices.csv"],
            "--save_recurrent choices.csv is an input itself",
        ),
        (["--logs", "nothing.csv"], "--logs nothing.csv does not exist"),
        (["--logs", "choices.csv"], "missing column 'step', 'arm'"),
        (["--logs", "choices.csv", *COLUMNS, "--models", "ucbb"], "no 'ucbb', allowed: softmax_q,"),
        (
            ["--logs", "choices.csv", *COLUMNS, "--models", "recurrent", "--folds", "7"],
            "recurrent needs an agent for each of the --folds",
        ),
        (["--logs", "choices.csv", "--folds", "1"], "--folds must be"),
        (["--logs", "choices.csv", "--recovery", "-1"], "--recovery must be"),
        (["--logs", "choices.csv", "--arms", "blue"], "--arms must be labels with commas"),
        (
            ["--logs", "choices.csv", *COLUMNS, "--num_arms", "3"],
            "--num_arms is 3, but --arms",
        ),
    ],
)
def test_mistakes_are_one_line(log, arguments, message, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["fit-learner", *arguments])
    error = capsys.readouterr().err
    assert ended.value.code == 2
    assert message in error
    assert error.count("\n") == 1
