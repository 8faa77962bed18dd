"""Put what `mermaide evaluate` wrote for each principal into one table.

Reads ``logs/shots/METHOD-seedN.json`` and writes ``results/shots/shots.csv``, in which `trained`
and `seed` name the principal.
"""

import json
from pathlib import Path

from mermaide_pl.evaluation.records import write_rows


def rows(folder):
    """A row for each principal, method, population and number of shots."""
    for path in sorted(folder.glob("*-seed*.json")):
        trained, seed = path.stem.split("-seed")
        for row in json.loads(path.read_text(encoding="utf-8")):
            row.pop("normalised_return_undefined", None)  # the reason for null
            numbers = {name: float("nan") if each is None else each for name, each in row.items()}
            yield {"trained": trained, "seed": int(seed), **numbers}


if __name__ == "__main__":
    write_rows(Path("results/shots/shots.csv"), list(rows(Path("logs/shots"))))
