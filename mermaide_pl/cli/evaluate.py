"""`mermaide evaluate`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.game_options import add_game_options, chosen_game
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.engine_name import EngineName
from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL
from mermaide_pl.config.output_paths import make_place
from mermaide_pl.config.validation import try_all


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide evaluate",
        description="Compare principals with fixed schedules and the oracle on unseen agents.",
    )
    parser.add_argument(
        "--ckpt_path",
        type=str,
        default=DEFAULT_PRINCIPAL,
        help="checkpoint of a principal, or pretrained:NAME",
    )
    parser.add_argument(
        "--population",
        type=str,
        nargs="+",
        required=True,
        help="unseen agents: files, or names of the package's populations",
    )
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[0, 1], help="numbers of support episodes"
    )
    parser.add_argument("--num_agents", type=int, default=500, help="agents per population")
    parser.add_argument(
        "--num_tuning_agents",
        type=int | None,
        default=None,
        help="agents that schedules and oracles are tuned on, by default 300",
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the agents")
    parser.add_argument("--out", type=str, default="results.json", help="JSON file of the scores")
    parser.add_argument(
        "--engine",
        choices=get_args(EngineName),
        default="auto",
        help="engine that plays the episodes",
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),  # set by torchrun
        help="processes that share the work on each machine; the result is the same",
    )
    add_game_options(parser)
    parser.add_argument("--num_nodes", type=int, default=1, help="machines that share the work")
    return parser


def run(arguments: Sequence[str]) -> None:
    """Compare a principal with baselines on unseen agents."""
    given = parser().parse_args(list(arguments))
    check_inputs(
        lambda: make_place(Path(given.out), given.population),
        ckpt_path=given.ckpt_path,
        populations=given.population,
    )
    from mermaide_pl.evaluation.loading import game_of
    from mermaide_pl.evaluation.protocol import evaluate
    from mermaide_pl.populations.files import load_populations
    from mermaide_pl.runtime.checkpoints import read_checkpoint

    checkpoint, populations = try_all(
        lambda: read_checkpoint(given.ckpt_path),
        lambda: load_populations(given.population),
    )
    evaluate(
        given.ckpt_path,
        populations,
        game=chosen_game(given, game_of(checkpoint, given.ckpt_path)),
        shots=given.shots,
        num_agents=given.num_agents,
        num_tuning_agents=given.num_tuning_agents,
        seed=given.seed,
        out=given.out,
        engine=given.engine,
        devices=given.devices,
        num_nodes=given.num_nodes,
    )
