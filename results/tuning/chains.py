"""Many support episodes in one chain, against chains as long as those of training.

The principals of the table were trained with one support episode, and are scored on validation
agents with more: each alone (the states at their ends are averaged), or all in one chain, each from
the state in which the one before ended. Writes ``results/tuning/chains.csv``.
"""

from pathlib import Path

from mermaide_pl import MermaideModule
from mermaide_pl.evaluation.paired_evaluation import PairedEvaluation, learned_players
from mermaide_pl.evaluation.records import write_rows
from mermaide_pl.populations.files import load_population

RESULTS = Path("results")
AGENTS = load_population("conf/population/val_mixed.yaml")


def rows():
    """A row for each principal, number of episodes and length of the chains."""
    for method in ("mermaide_memory", "rl2"):
        for seed in range(3):
            run = RESULTS / "table" / "broad-partial-cost0.5" / f"seed{seed}" / method
            module = MermaideModule.load_from_checkpoint(run / "principal.ckpt").eval()
            evaluation = PairedEvaluation(module.game, num_agents=250, seed=seed)
            for shots in (1, 2, 4, 8, 16, 40):
                for chain in sorted({1, shots}):
                    module.inner_loop.num_shots = chain
                    players = learned_players({method: module}, [shots])
                    (scores,) = evaluation.scores(players, AGENTS).values()
                    yield {
                        "method": method,
                        "seed": seed,
                        "shots": shots,
                        "chain_length": chain,
                        "val_return": float(scores.returns.mean()),
                    }


if __name__ == "__main__":
    write_rows(RESULTS / "tuning" / "chains.csv", list(rows()))
