"""`mermaide fit-learner`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mermaide_pl.cli.adapt import columns_of, labels_of
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.output_paths import check_named, make_folder, make_place
from mermaide_pl.config.validation import check_count, check_number, check_seed
from mermaide_pl.runtime.console import say


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide fit-learner",
        description="Fit learning rules and the recurrent model to recorded choices, of each agent"
        " and of all together, by maximum likelihood, and compare their forecasts of choices that"
        " they were not fitted to.",
    )
    parser.add_argument(
        "--logs",
        type=str,
        required=True,
        help="a table, .csv, .csv.gz, .tsv or .parquet, with the columns agent, episode, step, arm,"
        " agent_reward; without agent or episode all rows are of one",
    )
    parser.add_argument("--out", type=str, default="fits", help="folder for the results")
    parser.add_argument(
        "--models",
        type=str,
        nargs="+",
        default=None,
        help="learning rules by name, such as catie ucb, or recurrent; all by default",
    )
    parser.add_argument(
        "--num_arms", type=int, help="number of arms, by default as many as were chosen, at least 2"
    )
    parser.add_argument(
        "--arms", type=str, help="labels of the arms in --logs, such as blue,green,red"
    )
    parser.add_argument(
        "--columns", type=str, help="names of columns in --logs, such as agent=person,step=trial"
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        help="folds of agents; models fitted to the others forecast those of one",
    )
    parser.add_argument(
        "--recovery",
        type=int,
        default=100,
        help="simulated agents whose hyper-parameters are fitted again; 0 for none",
    )
    parser.add_argument(
        "--save_recurrent",
        type=str,
        help="file for the recurrent model of all agents, which a population may name as"
        " HumanFitted",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of folds, trainings and simulated agents"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Fit models to recorded choices, and write what came out."""
    given = parser().parse_args(list(arguments))
    check_seed("--seed", given.seed)
    check_count("--folds", given.folds, low=2)
    check_number("--recovery", given.recovery, low=0)
    if given.num_arms is not None:
        check_count("--num_arms", given.num_arms, low=2)
    if not Path(given.logs).is_file():
        raise ValueError(f"--logs {given.logs} does not exist")
    arms, columns = labels_of(given), columns_of(given)
    if arms is not None and given.num_arms not in (None, len(arms)):
        raise ValueError(f"--num_arms is {given.num_arms}, but --arms has {len(arms)} labels")
    num_arms = given.num_arms if arms is None else len(arms)
    if given.save_recurrent is not None:
        check_named(given.save_recurrent, "--save_recurrent")
        make_place(Path(given.save_recurrent), [given.logs], "--save_recurrent")
    make_folder(Path(given.out), given.out)
    _fit(given, num_arms, arms, columns)


def _fit(
    given: Any, num_arms: int | None, arms: list[str] | None, columns: dict[str, str] | None
) -> None:
    from rich.progress import Progress

    from mermaide_pl.deployment.logs import read_choices
    from mermaide_pl.experiments.learners.choices import Choices
    from mermaide_pl.experiments.learners.fits import fit_models, model_names, work
    from mermaide_pl.experiments.learners.recurrent import train
    from mermaide_pl.experiments.learners.results import (
        bound_lines,
        print_summary,
        recovery_lines,
        write_fits,
    )
    from mermaide_pl.runtime.console import console
    from mermaide_pl.runtime.run_folders import occupied

    history = read_choices(given.logs, num_arms=num_arms, arms=arms, columns=columns)
    choices, out = Choices.of(history, num_arms), Path(given.out)
    names = _chosen_models(given.models, model_names(len(choices), given.folds))
    if given.save_recurrent is not None and len(choices) < 2:
        raise ValueError("--save_recurrent needs the choices of at least 2 agents, one validates")
    say(f"{given.logs}: agents: {len(choices)}, arms: {choices.num_arms}, {history}")
    first_arm = "arm 0" if arms is None else arms[0]
    with occupied(out), Progress(console=console(stderr=True), transient=True) as progress:
        total = sum(work(choices, name, given.folds, given.recovery) for name in names)
        task = progress.add_task("fitting", total=total)
        fits = fit_models(
            choices,
            names,
            num_folds=given.folds,
            num_recovered=given.recovery,
            seed=given.seed,
            advance=lambda name, number: progress.update(
                task, description=f"fitting {name}", advance=number
            ),
            keep=lambda so_far: write_fits(so_far, choices, out, first_arm),
        )
        if given.save_recurrent is not None:
            progress.update(task, description="fitting recurrent to all")
            train(choices, given.seed).save(given.save_recurrent)
    print_summary(fits, choices.num_arms)
    if lines := bound_lines(fits):
        say(f"agents, of {len(choices)}, whose estimate is at a bound of the range searched:")
        for line in lines:
            say(f"  {line}")
    if lines := recovery_lines(fits):
        say("rank correlation of simulated and recovered hyper-parameters:")
        for line in lines:
            say(f"  {line}")
    if given.save_recurrent is not None:
        say(f"recurrent model of all agents: {given.save_recurrent}")
    say(f"results: {out}")


def _chosen_models(given: list[str] | None, possible: list[str]) -> list[str]:
    from mermaide_pl.experiments.learners.fits import RECURRENT
    from mermaide_pl.experiments.learners.fitted_rules import RULES

    for name in given or ():
        if name not in (*RULES, RECURRENT):
            raise ValueError(
                f"--models: there is no '{name:.60}', allowed: {', '.join([*RULES, RECURRENT])}"
            )
        if name not in possible:
            raise ValueError(
                "--models: recurrent needs an agent for each of the --folds, allowed:"
                f" {', '.join(possible)}"
            )
    if given is None and RECURRENT not in possible:
        say("recurrent is left out: it needs an agent for each of the --folds")
    return list(dict.fromkeys(given)) if given else possible
