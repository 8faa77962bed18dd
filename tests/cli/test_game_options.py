import pytest

from mermaide_pl.cli.game_options import add_game_options, chosen_game
from mermaide_pl.cli.main import main
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.game import Budget, FullInformation, Game


def parsed(*words: str) -> Game:
    parser = PlainParser(prog="mermaide evaluate")
    add_game_options(parser)
    return chosen_game(parser.parse_args(list(words)), Game(num_steps=30, cost=0.7))


def test_what_is_not_given_is_as_in_the_other_game():
    assert parsed() == Game(num_steps=30, cost=0.7)
    assert parsed("--game.num_arms", "4") == Game(num_arms=4, num_steps=30, cost=0.7)


def test_every_number_may_be_given():
    found = parsed(
        *("--game.num_arms", "4", "--game.num_steps", "9", "--game.bonuses", "0", "0.5", "2"),
        *("--game.cost", "0.2", "--game.max_interventions", "3", "--game.endless", "true"),
        *("--game.observation", "full"),
    )
    assert found == Game(4, 9, (0.0, 0.5, 2.0), 0.2, FullInformation(), 3, True)


def test_what_is_put_on_the_others_and_budgets_may_be_given():
    found = parsed(
        *("--game.bonuses", "0", "1", "0", "--game.other_bonuses", "0", "0", "2"),
        *("--game.target_budget", "3", "9", "--game.other_budget", "0", "8"),
    )
    assert (found.bonuses, found.other_bonuses) == ((0.0, 1.0, 0.0), (0.0, 0.0, 2.0))
    assert found.budgets == (Budget(3, 9), Budget(0, 8))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--game.num_arms", "x"], "--game.num_arms must be a whole number, got 'x'"),
        (["--game.cost", "x"], "--game.cost must be a number, got 'x'"),
        (["--game.cost"], "--game.cost needs a value, a number"),
        (["--game.observation", "none"], "--game.observation must be one of partial, full"),
        (["--game.speed", "2"], "--help` lists all options"),
    ],
)
def test_mistakes_are_answered_in_one_line(words, message, capsys):
    with pytest.raises(SystemExit) as left:
        parsed(*words)
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert message in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "words",
    [
        ["--game.other_bonuses", "0", "1"],
        ["--game.target_budget", "3", "5"],
    ],
)
def test_a_universal_principal_names_the_options_that_it_cannot_play_by(words, capsys):
    with pytest.raises(SystemExit) as left:
        main(["evaluate", "--population", "softmax", *words])
    assert left.value.code == 2
    said = capsys.readouterr().err
    assert "pretrained:universal: a universal principal plays games that pay the target" in said
    assert f"leave {words[0]}" in said or f", {words[0]}" in said


def test_an_impossible_number_is_refused():
    with pytest.raises(ValueError, match=r"Game\.num_arms .*at least 2, got 1"):
        parsed("--game.num_arms", "1")
