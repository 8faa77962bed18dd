"""The shell completes commands, options and the names of the package."""

import argparse

import pytest

from mermaide_pl.cli.commands import COMMANDS
from mermaide_pl.cli.completion import parser
from mermaide_pl.config.input_paths import COMPARISONS, CONFIGURATIONS, POPULATIONS


def options(command: str) -> dict[str, argparse.Action]:
    """Options that are completed in a line with this command."""
    (commands,) = parser(f"mermaide {command} --")._subparsers._group_actions
    assert set(commands.choices) == set(COMMANDS)
    found = commands.choices[command]._actions
    return {name: action for action in found for name in action.option_strings}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_its_options(command):
    assert "--help" in options(command)


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("evaluate", "--population", POPULATIONS.names()),
        ("evaluate", "--ckpt_path", ["pretrained:broad-partial", "pretrained:universal"]),
        ("fit", "--config", CONFIGURATIONS.names()),
        ("fit", "--data.train_population", POPULATIONS.names()),
        ("compare", "--config", COMPARISONS.names()),
    ],
)
def test_names_of_the_package_are_completed(command, option, names):
    assert set(names) <= set(options(command)[option].completer(prefix=""))


def test_settings_of_the_game_are_completed():
    assert {"--model.game.cost", "--trainer.max_epochs"} <= set(options("fit"))
