import pytest

from mermaide_pl.cli.main import main
from mermaide_pl.experiments.games.checkpoints import check_universal, read_trainings
from mermaide_pl.game import Game


def test_trainings_have_the_numbers_of_their_places(checkpoints):
    game = Game(num_arms=3, num_steps=20)
    modules, _ = read_trainings([checkpoints.another, checkpoints.universal], game)
    assert [*modules] == ["principal 0", "principal 1"]
    assert {module.game for module in modules.values()} == {game}


def test_a_checkpoint_is_given_once(checkpoints):
    with pytest.raises(ValueError, match="is given twice"):
        check_universal([checkpoints.universal, checkpoints.another, checkpoints.universal])


@pytest.mark.parametrize("name", ["games", "budget", "frontier"])
@pytest.mark.parametrize(
    ("ckpt_path", "said"),
    [
        (None, "needs --ckpt_path"),
        ("none.ckpt", "none.ckpt does not exist"),
        ("specialised", "plays one game alone"),
        ("pretrained:mixed-partial", "plays one game alone"),
    ],
)
def test_unfit_checkpoints_are_refused_in_one_line_and_leave_nothing(
    name, ckpt_path, said, checkpoints, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    given = getattr(checkpoints, str(ckpt_path), ckpt_path)
    with pytest.raises(SystemExit) as ended:
        main(["figure", name, *([] if given is None else ["--ckpt_path", given])])
    assert ended.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert not [*tmp_path.iterdir()]


def test_figures_of_the_paper_take_no_checkpoint(checkpoints, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit):
        main(["figure", "fig4", "--ckpt_path", checkpoints.universal])
    assert "takes no --ckpt_path" in capsys.readouterr().err
