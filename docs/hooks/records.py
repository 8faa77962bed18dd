"""Macros of the pages: numbers, tables and figures from records, and the reference.

A page says `{{ ... }}` where a number stands, so that no number of a page is typed. A record or a
row that is missing ends the build.
"""

import contextlib
import io
import json
import os
import re
from dataclasses import asdict
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from statistics import median

import pandas as pd

from mermaide_pl.cli.main import main
from mermaide_pl.evaluation.methods import (
    MERMAIDE_MEMORY,
    RL2_TWO_EPISODES,
    RL2_WITH_MODEL,
    WITHIN_EPISODES,
    label_of,
)
from mermaide_pl.evaluation.tables import interval_text
from mermaide_pl.experiments.games.settings import Setting
from mermaide_pl.metrics.intervals import student_mean

ROOT = Path(__file__).parents[2]
TUNING = "results/tuning/tuning.csv"
OURS = MERMAIDE_MEMORY
MEANS = ("mean", "all")
"""Rows of a comparison that are of no single population."""
W1_LABELS = {
    "ours_native": "**this package, native engine**",
    "ours_torch": "this package, plain PyTorch",
    "jax": "JAX, jit + vmap + scan",
    "jax_tuned": "JAX, tuned by hand",
    "higher_per_task": "`higher`, task by task",
    "learn2learn_style": "learn2learn's way, task by task",
    "torchopt_per_task": "TorchOpt, task by task",
}


@cache
def record(path):
    """A recorded JSON file."""
    return json.loads((ROOT / path).read_text(encoding="utf-8"))


@cache
def rows(path):
    """The rows of a recorded CSV or JSON file."""
    if path.endswith(".json"):
        return pd.DataFrame(record(path))
    return pd.read_csv(ROOT / path)


def row(path, **where):
    """The one row with these values."""
    found = rows(path)
    for column, value in where.items():
        found = found[found[column] == value]
    if len(found) != 1:
        raise ValueError(f"{path}: {len(found)} rows with {where}")
    return found.iloc[0].to_dict()


def digits(value, number=2):
    """A number with so many digits after the point."""
    return f"{value:,.{number}f}"


def percent(value, number=0):
    """A share in percent."""
    return f"{100 * value:.{number}f}%"


def spread(found, quantity, number=3, centre="mean"):
    """Mean ± half of the interval, of a row."""
    low, high = found[f"{quantity}_low"], found[f"{quantity}_high"]
    return f"{found[f'{quantity}_{centre}']:.{number}f} ± {(high - low) / 2:.{number}f}"


def over_runs(values):
    """Mean over runs ± half of Student's t interval."""
    return spread(student_mean(values).columns("value"), "value")


def markdown_table(headings, lines, num_texts=1):
    """A table of Markdown, numbers to the right of the first columns, which are texts."""
    rule = [*["---"] * num_texts, *["---:"] * (len(headings) - num_texts)]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in (headings, rule, *lines))


def score(method, shots=0, population="mean", quantity="normalised_return", of="results/table"):
    """A score of the comparison: interquartile mean over runs."""
    where = {"method": method, "shots": shots, "population": population}
    return row(f"{of}/table.csv", **where)[f"{quantity}_iqm"]


def gain(over, shots=1, population="mean"):
    """Gain in return of MERMAIDE with memory over a method, run by run."""
    where = {"over": over, "shots": shots, "population": population}
    return spread(row("results/table/improvement.csv", **where), "gain")


def ahead(over):
    """On how many populations MERMAIDE with memory gains over a method at 1 shot, run by run."""
    found = rows("results/table/improvement.csv")
    found = found[(found.over == over) & (found.shots == 1) & ~found.population.isin(MEANS)]
    return f"{(found.gain_low > 0).sum()} of {len(found)}"


def method_table():
    """Normalised returns at 0 and 1 shots, and the gain of MERMAIDE with memory."""
    found = rows("results/table/table.csv")
    lines = []
    for method in dict.fromkeys(found.method):
        where = {"method": method, "population": "mean"}
        cells = [
            spread(row("results/table/table.csv", shots=shots, **where), "normalised_return",
                   centre="iqm")
            if ((found.method == method) & (found.shots == shots)).any()
            else ""
            for shots in (0, 1)
        ]  # fmt: skip
        ours = method == OURS
        name = f"**{label_of(method)}**" if ours else label_of(method)
        lines.append([name, *cells, *(("", "") if ours else (gain(method), ahead(method)))])
    return markdown_table(
        ["method", "0 shots", "1 shot", "gain of MERMAIDE with memory", "above zero on"], lines
    )


def tried(run, shots, when="best"):
    """Normalised return of a run of the diary."""
    return digits(row(TUNING, run=run)[f"normalised_return_{shots}shot_{when}"], 2)


def tuning_table(runs):
    """Runs of the diary."""
    found = [row(TUNING, run=run) for run in runs]
    return markdown_table(
        ["run", "trained on", "validated on", "settings", "steps", "0 shots", "1 shot"],
        [
            [
                *(
                    each[name]
                    for name in ("run", "trained_on", "validated_on", "settings", "steps")
                ),
                *(tried(each["run"], shots) for shots in (0, 1)),
            ]
            for each in found
        ],
        num_texts=4,
    )


def section(path, *headings):
    """The table below the last of these headings, each looked for below the one before."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    for heading in headings:
        lines = lines[lines.index(heading) + 1 :]
    begin = next(number for number, line in enumerate(lines) if line.startswith("|"))
    lines = lines[begin:]
    end = next((number for number, line in enumerate(lines) if not line.startswith("|")), None)
    return _unbroken("\n".join(lines[:end]))


def page_of(path):
    """A recorded page, its headings one level down, without its title."""
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()[1:]
    return _unbroken("\n".join(f"#{line}" if line.startswith("#") else line for line in lines))


def _unbroken(text):
    """The text, with no line ending between a mean and its interval."""
    return text.replace(" ± ", "\u00a0±\u00a0")


def recipe(heading):
    """A section of CONTRIBUTING.md without its heading, its lists indented as MkDocs asks."""
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    text = page.split(f"\n## {heading}\n")[1].split("\n## ")[0].strip()
    text = re.sub(r"^   (?=.)", "    ", text, flags=re.MULTILINE)
    return re.sub(r"\n(?=\d+\. )", "\n\n", text)


def scores_of_evaluate(path, populations, quantities=("return",)):
    """What `mermaide evaluate` wrote, a line for each method."""
    found = record(path)
    names = dict.fromkeys(
        (entry["method"], entry["shots"]) for entry in found if entry["population"] in populations
    )
    cells = {(e["population"], e["method"], e["shots"]): e for e in found}
    return markdown_table(
        [
            "",
            *(
                f"{quantity.replace('_', ' ')}, `{population}`"
                for population in populations
                for quantity in quantities
            ),
        ],
        [
            [
                f"**principal, {name[1]}-shot**" if name[0] == "principal" else label_of(name[0]),
                *(
                    interval_text(cells[population, *name], quantity)
                    for population in populations
                    for quantity in quantities
                ),
            ]
            for name in names
        ],
    )


def third_party(name):
    """Returns of a pretrained principal with learners of other libraries."""
    found = record(f"results/third_party/{name}.json")
    shown = [("none", 0), ("always", 0), ("burst", 0), ("principal", 0), ("principal", 1)]
    shown.append(("oracle", 0))
    cells = {(e["population"], e["method"], e["shots"]): e for e in found}
    return markdown_table(
        ["learner", "no intervention", "always", "burst", "0 shots", "1 shot", "oracle"],
        [
            [f"`{each}`", *(interval_text(cells[each, *column], "return") for column in shown)]
            for each in dict.fromkeys(entry["population"] for entry in found)
        ],
    )


def in_the_default_game():
    """Normalised returns of the universal trainings in the default game, beside its burst."""
    found = rows("results/games/scores.csv")
    for name, value in asdict(Setting()).items():
        found = found[found[name] == value]
    ours = found[found.method == "principal"]
    burst = found[found.method == "burst"].set_index("population").normalised_return
    lines = []
    for population in burst.index:
        here = ours[ours.population == population]
        each = [here[here.shots == shots] for shots in (0, 1)]
        shares = (over_runs(some.normalised_return.tolist()) for some in each)
        above = (f"{some.wins_over_burst.sum()} of {len(some)}" for some in each)
        lines.append([f"`{population}`", digits(burst[population], 3), *shares, *above])
    means = ours.groupby(["shots", "training"]).normalised_return.mean()
    shares = (over_runs(means[shots].tolist()) for shots in (0, 1))
    lines.append(["mean", digits(burst.mean(), 3), *shares, "", ""])
    headings = ["agents", "burst", "0 shots", "1 shot", "above it, 0 shots", "1 shot"]
    return _unbroken(markdown_table(headings, lines))


def over_costs():
    """Returns of one universal training and of a training for each condition."""
    path = "results/frontier/frontier.csv"
    methods = (("universal", 1), (OURS, 1), ("burst", 0))
    lines = []
    for observation in ("partial", "full"):
        for cost in sorted(set(rows(path).cost)):
            where = {"population": "mean", "observation": observation, "cost": cost}
            cells = (
                spread(row(path, method=method, shots=shots, **where), "return", centre="iqm")
                for method, shots in methods
            )
            lines.append([f"{observation} information, cost {cost:g}", *cells])
    headings = ["condition", *(label_of(method) for method, _ in methods)]
    return _unbroken(markdown_table(headings, lines))


@cache
def returns_by_shots(method):
    """Normalised returns of the runs, by shots and population."""
    found = {}
    table = rows("results/shots/shots.csv")
    for entry in table[
        (table["trained"] == method) & (table["method"] == "principal")
    ].itertuples():
        key = entry.shots, entry.population
        found.setdefault(key, []).append(entry.normalised_return_mean)
    return found


def more_shots():
    """Normalised return against the number of support episodes."""
    populations = list(dict.fromkeys(name for _, name in returns_by_shots("mermaide_memory")))
    lines = []
    for method in ("mermaide_memory", "rl2"):
        found = returns_by_shots(method)
        for shots in sorted({key[0] for key in found}):
            cells = (over_runs(found[shots, population]) for population in populations)
            lines.append([f"{label_of(method)}, {shots}", *cells])
    return markdown_table(["method, shots", *(f"`{name}`" for name in populations)], lines)


def gains_over_memory_alone():
    """Gain in return of each way to adapt over memory alone, where it could pay."""
    columns = (
        (MERMAIDE_MEMORY, 1),
        (WITHIN_EPISODES, 0),
        (WITHIN_EPISODES, 1),
        (RL2_TWO_EPISODES, 2),
    )
    found = rows("results/adaptation/runs.csv").set_index("population")
    everywhere = list(dict.fromkeys(found.index))
    groups = {**{f"`{name}`": [name] for name in everywhere}, "mean": everywhere}
    lines = []
    for name, populations in groups.items():
        here = found.loc[populations].groupby(["method", "shots", "seed"])["return"].mean()
        gains = (here[method, shots] - here[RL2_WITH_MODEL, shots] for method, shots in columns)
        lines.append([name, *(over_runs(gain.tolist()) for gain in gains)])
    headings = (f"{label_of(method)}, {shots}" for method, shots in columns)
    return _unbroken(markdown_table(["agents", *headings], lines))


def chains():
    """Return against the number of support episodes, each alone and in one chain."""
    numbers = [1, 2, 4, 8, 16, 40]
    found = rows("results/tuning/chains.csv")
    means = found.groupby(["method", "shots", "chain_length"])["val_return"].mean()
    return markdown_table(
        ["method, episodes", *numbers],
        [
            [
                f"{label_of(method)}, {name}",
                *(f"{means[method, shots, shots if in_chain else 1]:.3f}" for shots in numbers),
            ]
            for method in ("mermaide_memory", "rl2")
            for name, in_chain in (("each alone", False), ("one chain", True))
        ],
    )


def fine_tuning():
    """Returns before and after fine-tuning, at 0 and 1 shots."""

    def cell(name, population, method, numbers=(0, 1)):
        found = {
            (e["population"], e["method"], e["shots"]): e["return_mean"]
            for e in record(f"results/finetuning/{name}.json")
        }
        return ", ".join(f"{found[population, method, shots]:.3f}" for shots in numbers)

    lines = [
        [
            label,
            cell(unseen, "exp3", "principal"),
            cell(run, "old agents", method),
            cell(unseen, "unseen_ucb", "principal"),
        ]
        for label, run, unseen, method in (
            ("before", "with_rehearsal", "before_unseen", "before"),
            ("`train_ucb_exp3`, half of each", "with_rehearsal", "with_rehearsal_unseen", "after"),
            ("`train_exp3`, EXP3 alone", "without_rehearsal", "without_rehearsal_unseen", "after"),
        )
    ]
    lines += [
        [
            label_of(method),
            cell("before_unseen", "exp3", method, (0,)),
            cell("with_rehearsal", "old agents", method, (0,)),
            cell("before_unseen", "unseen_ucb", method, (0,)),
        ]
        for method in ("none", "oracle")
    ]
    return markdown_table(
        ["fine-tuned on", "`exp3`", "`train_ucb`, unseen agents", "`unseen_ucb`"], lines
    )


def w1_table():
    """Times of a meta-step."""
    contestants = record("benchmarks/results/w1.json")["contestants"]
    ours = contestants["ours_native"]["median_s"]
    return markdown_table(
        ["meta-step of W1", "median s", "min – max", "ratio", "peak MiB"],
        [
            [
                W1_LABELS[name],
                f"{entry['median_s']:.3f}",
                f"{entry['min_s']:.3f} – {entry['max_s']:.3f}",
                f"{entry['median_s'] / ours:.1f}",
                f"{entry['peak_mib']:.0f}",
            ]
            for name, entry in sorted(contestants.items(), key=lambda each: each[1]["median_s"])
        ],
    )


def phases_table():
    """Where the time of a meta-step goes."""
    return markdown_table(
        ["part of the meta-step", "ms", "share"],
        [
            [phase, f"{milliseconds:.0f}", percent(share)]
            for phase, milliseconds, share in rows("benchmarks/results/phases.csv").itertuples(
                index=False
            )
        ],
    )


def recurrence_table():
    """Times of a meta-step with each recurrence."""
    found = rows("results/recurrence/w1.csv")
    headings = ["recurrence", "meta-step, s", "of it rollouts, s", "the rest, s", "rounds"]
    return markdown_table(headings, found.round(3).values.tolist())


def populations():
    """Name of each packaged population, and the comment at its head."""
    for path in sorted((ROOT / "mermaide_pl/populations/data").glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").splitlines()
        comment = takewhile(lambda line: line.startswith("#"), lines)
        yield path.stem, " ".join(line.lstrip("# ") for line in comment)


def reference(module):
    """The reference of every public name of a module, from its docstrings."""
    return "\n\n".join(f"::: {module}.{name}" for name in import_module(module).__all__)


def command_help(name):
    """What `mermaide NAME --help` prints."""
    text = io.StringIO()
    width = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = "88"
    try:
        with contextlib.redirect_stdout(text):
            main([name, "--help"])
    except SystemExit as ended:
        if ended.code:
            raise ValueError(f"mermaide {name} --help ended with {ended.code}") from ended
    finally:
        os.environ.pop("COLUMNS") if width is None else os.environ.update(COLUMNS=width)
    return f"```text\n{text.getvalue().strip()}\n```"


def define_env(env):
    """Give the macros to the pages."""

    def figure(name, text):
        """A recorded figure, or a line that says which command makes it."""
        if not any(
            (ROOT / folder / name).is_file() for folder in ("results", "benchmarks/results")
        ):
            return f"*The figure {name} is not recorded yet.*"
        path = f"{'../' * env.page.file.src_uri.count('/')}figures/{name}"
        return f"[![{text}]({path})]({path})"  # the link opens it in its full size

    def recorded(path):
        """True if there is such a record."""
        return (ROOT / path).exists()

    for macro in (
        *(
            figure,
            recorded,
            record,
            row,
            rows,
            score,
            gain,
            section,
            page_of,
            recipe,
            ahead,
            method_table,
            tried,
            tuning_table,
            reference,
        ),
        *(
            scores_of_evaluate,
            in_the_default_game,
            over_costs,
            third_party,
            more_shots,
            gains_over_memory_alone,
            chains,
            command_help,
            recurrence_table,
        ),
        *(w1_table, phases_table, fine_tuning, populations, median, student_mean, returns_by_shots),
    ):
        env.macro(macro)
    for filters in (digits, percent, spread):
        env.filter(filters)
