from pathlib import Path

import pytest
import torch

from mermaide_pl.engines import Stream
from mermaide_pl.engines.rollout import rollout
from mermaide_pl.game import Game
from mermaide_pl.populations.files import load_population
from mermaide_pl.principals import AlwaysIntervene, NoIntervention

FOLDER = Path(__file__).parents[2] / "examples" / "populations"
LIBRARIES = {"mabwiser": "mabwiser", "river": "river", "vowpal": "vowpalwabbit"}


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_library_plays_and_is_steered(path, tmp_path):
    library = LIBRARIES.get(path.stem.split("_")[0])
    if library:
        pytest.importorskip(library)
    without_workers = tmp_path / "population.yaml"
    without_workers.write_text(path.read_text().replace("num_workers: 2", "num_workers: 0"))
    tasks = load_population(without_workers).sample(range(4), split="test")
    game = Game(num_steps=60)

    def play(player):
        return rollout(tasks, player, game, stream=Stream.SCORE, num_episodes=1)

    alone, again, paid = (
        play(player) for player in (NoIntervention(), NoIntervention(), AlwaysIntervene())
    )
    torch.testing.assert_close(again.arms, alone.arms, rtol=0, atol=0)
    assert paid.alignment.mean() > alone.alignment.mean() + 0.05


def test_there_is_a_population_for_every_library():
    assert {path.stem.split("_")[0] for path in FOLDER.glob("*.yaml")} == {*LIBRARIES, "q"}
