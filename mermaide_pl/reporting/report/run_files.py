"""Files of a training run: its checkpoint, its curves, and its results if there are any."""

from __future__ import annotations

import json

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator, ScalarEvent

from mermaide_pl.config.input_paths import RunPaths
from mermaide_pl.evaluation.methods import with_current_names
from mermaide_pl.evaluation.tables import QUANTITIES, REASON, Row

Curve = list[tuple[int, float]]
_KINDS = {"method": str, "population": str, "shots": int, "num_agents": int}


class RunFiles(RunPaths):
    """The files of one run, and what is in them."""

    def curves(self) -> dict[str, Curve]:
        """Name of each logged quantity to its points ``(training step, value)``.

        A resumed run has several event files; of two values at one step the later one counts. Files
        with step zero only are left out: they come from `mermaide validate` or `test`.
        """
        found: dict[str, dict[int, ScalarEvent]] = {}
        for path in self.events:
            accumulator = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
            tags = accumulator.Tags()["scalars"]
            points = {tag: accumulator.Scalars(tag) for tag in tags}
            if any(event.step for events in points.values() for event in events):
                for tag, events in points.items():
                    kept = found.setdefault(tag, {})
                    for event in events:
                        if event.step not in kept or event.wall_time >= kept[event.step].wall_time:
                            kept[event.step] = event
        return {
            tag: [(step + 1, kept[step].value) for step in sorted(kept)]
            for tag, kept in found.items()
        }

    def results(self) -> list[Row] | None:
        """The rows that `mermaide evaluate` wrote into the folder; None without its file.

        Raises:
            ValueError: if the file holds other content.
        """
        path = self.folder / "results.json"
        if not path.is_file():
            return None
        try:
            rows = json.loads(path.read_bytes())
            check_rows(rows)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise ValueError(f"{path} is not what `mermaide evaluate` writes: {reason}") from None
        return with_current_names(rows)


def check_rows(rows: list[Row]) -> None:
    """Raise unless `rows` are rows of `evaluate`.

    Raises:
        ValueError, KeyError, TypeError: naming the missing or wrong entry.
    """
    if not rows:
        raise ValueError("no rows")
    for row in rows:
        for name, kind in _KINDS.items():
            if not isinstance(row[name], kind):
                raise TypeError(f"{name} is {row[name]!r}")
        for quantity in QUANTITIES:
            for bound in ("mean", "low", "high"):
                if (value := row[f"{quantity}_{bound}"]) is not None or not row.get(REASON):
                    float(value)
