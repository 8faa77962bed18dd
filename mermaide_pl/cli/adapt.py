"""`mermaide adapt`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.game_options import add_game_options, chosen_game
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL, existing_history
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.validation import try_all
from mermaide_pl.runtime.console import say

_PLAYING = ("agent", "shots", "num_episodes", "seed")
_LOGS = ("target_arm", "arms", "columns")


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide adapt",
        description="Adapt a principal to one agent, by playing with it (--population) or from its"
        " recorded history (--logs), and save it as a checkpoint.",
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        default=DEFAULT_PRINCIPAL,
        help="checkpoint of a principal, or pretrained:NAME",
    )
    parser.add_argument("--out", type=str, required=True, help="checkpoint to write")
    parser.add_argument("--population", type=str, help="population of the agent, a file or a name")
    parser.add_argument(
        "--agent", type=int, help="number of the agent in the test split, 0 by default"
    )
    parser.add_argument("--shots", type=int, help="episodes that it adapts on, 1 by default")
    parser.add_argument(
        "--num_episodes", type=int, help="episodes that it is scored on, 500 by default"
    )
    parser.add_argument("--seed", type=int, help="seed of the agents, 0 by default")
    parser.add_argument("--logs", type=str, help="history of the agent, .csv, .csv.gz or .parquet")
    parser.add_argument(
        "--target_arm", type=str, help="target arm, as labelled in --logs, the first arm by default"
    )
    parser.add_argument(
        "--arms", type=str, help="labels of the arms in --logs, such as blue,green,red"
    )
    parser.add_argument(
        "--columns", type=str, help="names of columns in --logs, such as arm=choice,step=time"
    )
    add_game_options(parser)
    return parser


def run(arguments: Sequence[str]) -> None:
    """Adapt a principal to one agent, and save it."""
    given = parser().parse_args(list(arguments))
    game_for = partial(chosen_game, given)
    if (given.population is None) == (given.logs is None):
        raise ValueError("give either --population, to play with an agent, or --logs")
    options, others = (_PLAYING, _LOGS) if given.logs is None else (_LOGS, _PLAYING)
    for name in others:
        if given[name] is not None:
            mode = "--population" if given.logs is None else "--logs"
            allowed = ", ".join(f"--{option}" for option in options)
            raise ValueError(f"--{name} does not go with {mode}, allowed: {allowed}")
    settings = {name: given[name] for name in options if given[name] is not None}
    populations = [] if given.population is None else [given.population]
    logs = [] if given.logs is None else [partial(existing_history, given.logs)]
    of_history, *_ = try_all(partial(_of_history, given), *logs)
    check_inputs(
        lambda: make_place(Path(given.out), populations),
        ckpt_path=given.ckpt_path,
        populations=populations,
    )
    from mermaide_pl.deployment.adapt_to_agent import adapt_by_playing, adapt_from_histories
    from mermaide_pl.populations.files import load_populations
    from mermaide_pl.runtime.checkpoints import read_checkpoint

    if given.logs is None:
        _, loaded = try_all(
            lambda: read_checkpoint(given.ckpt_path),
            lambda: load_populations([given.population]),
        )
        ((name, population),) = loaded.items()
        adapt_by_playing(
            given.ckpt_path, name, population, given.out, game_for=game_for, **settings
        )
        return
    held_out = adapt_from_histories(
        given.ckpt_path, given.logs, given.out, game_for=game_for, **of_history
    )
    say(f"{given.logs}: {held_out.history}")
    say(
        f"forecast of {held_out.num_steps} held-out steps: log-loss"
        f" {held_out.log_loss_before:.4f} before, {held_out.log_loss_after:.4f} after, in nats per"
        f" step   target arm: {held_out.target_arm}   principal: {given.out}"
        f"   game: {held_out.game}"
    )


def _of_history(given: Any) -> dict[str, Any]:
    """The options of a history, as `adapt_from_histories` takes them."""
    target, arms = given.target_arm, labels_of(given)
    if arms is None:
        try:
            target = None if target is None else int(target)
        except ValueError:
            raise ValueError(
                "--target_arm must be a whole number from 0 to A-1 (a label needs --arms), got"
                f" {target!r:.60}"
            ) from None
    elif given.game.num_arms not in (None, len(arms)):
        raise ValueError(
            f"--game.num_arms is {given.game.num_arms}, but --arms has {len(arms)} labels"
        )
    return {"target_arm": target, "arms": arms, "columns": columns_of(given)}


def labels_of(given: Any) -> list[str] | None:
    """Labels of the arms that ``--arms`` gives."""
    if given.arms is None:
        return None
    arms = [label.strip() for label in given.arms.split(",")]
    if not all(arms) or len(arms) < 2:
        raise ValueError(f"--arms must be labels with commas, got {given.arms!r:.60}")
    return arms


def columns_of(given: Any) -> dict[str, str] | None:
    """Names of columns that ``--columns`` gives."""
    if given.columns is None:
        return None
    pairs = [pair.partition("=")[::2] for pair in given.columns.split(",")]
    columns = {name.strip(): column.strip() for name, column in pairs}
    if not all(columns.values()) or len(columns) < len(pairs):
        raise ValueError(
            "--columns must be different names with columns, such as arm=choice,step=time,"
            f" got {given.columns!r:.60}"
        )
    return columns
