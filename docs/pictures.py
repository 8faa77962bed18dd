"""Draw the pictures of the README and of the site: `python docs/pictures.py`, a minute.

They are kept in `docs/pictures/`. The episode is that of a UCB agent with `pretrained:universal`;
the other figures are drawn from the records in `results/`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from hooks.records import returns_by_shots
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from mermaide_pl import load_pretrained
from mermaide_pl.evaluation.timing import median_agent, play
from mermaide_pl.game import Game
from mermaide_pl.populations import packaged
from mermaide_pl.principals import InitialBurst, NoIntervention
from mermaide_pl.reporting.figures.style import (
    BLACK,
    BLUE,
    DOTS_PER_INCH,
    GREEN,
    GREY,
    LINE_WIDTH,
    ORANGE,
    VERMILLION,
    label_axes,
    png,
)
from mermaide_pl.runtime.atomic_files import write_whole

ROOT = Path(__file__).parents[1]
OUT = ROOT / "docs" / "pictures"
GAME = Game()  # 10 arms, 200 steps, a bonus of 1 at a cost of 0.5
BURST = 100  # steps
SHOTS = (0, 1, 2, 4, 8)
RECEIVED = "4. sees the arm: gets 1 if it was\nthe target; pays c × b"
FONT, SMALL = 9.0, 8.0


def new_panels(width, height, **options):
    """An empty figure of panels in one style."""
    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained")
    panels = figure.subplots(squeeze=False, **options)
    for axes in panels.flat:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=SMALL, length=2.5)
    return figure, panels


def an_episode(num_agents=100):
    """The UCB agent with the median return: steered, under a burst, and left alone."""
    module = load_pretrained("universal")
    agents = packaged("train_ucb").sample(range(num_agents), split="test", seed=0)
    number = median_agent(play(module, agents))
    tasks = packaged("train_ucb").sample([number], split="test", seed=0)
    players = {
        "principal": module.player(module.principal.weights()),
        "burst": InitialBurst(length=BURST),
        "none": NoIntervention(),
    }
    played = {name: module.scored_episodes(tasks, player, 1) for name, player in players.items()}
    with torch.no_grad():
        output = module.forward_pass(module.principal.weights(), played["principal"])
    return played, output.arm_logits[0, 0].softmax(-1)[..., 0].numpy()


def draw_steering(played):
    """An episode: what the agent did and was paid, and what came of it."""
    figure, ((above,), (below,)) = new_panels(
        6.4, 3.9, nrows=2, sharex=True, height_ratios=(1.5, 1.0)
    )
    shown = played["principal"]
    arms, aligned, levels = (
        each[0, 0].numpy() for each in (shown.arms, shown.aligned, shown.levels > 0)
    )
    steps = np.arange(1, len(arms) + 1)
    target = int(arms[aligned][0])
    above.axhspan(target - 0.5, target + 0.5, color=GREEN, alpha=0.15, linewidth=0)
    above.scatter(steps[~aligned], arms[~aligned], s=9, color=GREY, linewidths=0)
    above.scatter(steps[aligned], arms[aligned], s=9, color=GREEN, linewidths=0)
    above.vlines(steps[levels], 9.9, 10.7, color=VERMILLION, linewidth=1.0)
    names = ["target arm" if arm == target else str(arm) for arm in range(GAME.num_arms)]
    above.set_yticks([*range(GAME.num_arms), 10.3], [*names, "bonus offered"])
    above.get_yticklabels()[target].set_color(GREEN)
    above.get_yticklabels()[-1].set_color(VERMILLION)
    above.set_ylim(-0.7, 11.0)
    label_axes(above, y="arm that the agent pulls")
    for name, colour, label, up in (
        ("principal", BLUE, "principal", 4),
        ("burst", ORANGE, f"bonus in the\nfirst {BURST} steps", -12),
        ("none", GREY, "left alone", 0),
    ):
        total = played[name].rewards[0, 0].cumsum(-1).numpy()
        below.plot(steps, total, color=colour, linewidth=1.4)
        below.annotate(
            label, (len(steps), total[-1]), (4, up), textcoords="offset points",
            fontsize=SMALL, color=colour, va="center", annotation_clip=False,
        )  # fmt: skip
    below.axhline(0.0, color="black", linewidth=0.5)
    label_axes(below, x="step", y="principal's\nreward so far")
    for axes in (above, below):
        axes.set_xlim(0, 201)
        for text in (axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(FONT)
    return figure


def draw_game():
    """The game as a diagram: who gives what to whom in one step."""
    figure = Figure(figsize=(6.4, 2.3), dpi=DOTS_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 64), ylim=(0, 23))
    axes.set_axis_off()
    for x, name, about, colour in (
        (10, "principal", "wants the target arm", BLUE),
        (32, "agent", "wants its own reward", GREEN),
        (54, "bandit", "10 arms", GREY),
    ):
        box = FancyBboxPatch(
            (x - 8, 8), 16, 7, boxstyle="round,pad=0.3,rounding_size=1", edgecolor=colour,
            facecolor="white", linewidth=1.4,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(x, 12.6, name, ha="center", va="center", fontsize=11, color=colour)
        axes.text(x, 9.8, about, ha="center", va="center", fontsize=SMALL)
    for start, end, bend, text, place in (
        ((15, 15.6), (27, 15.6), -0.45, "1. offers a bonus b\nfor the target arm", (21, 21.1)),
        ((37, 15.6), (49, 15.6), -0.45, "2. pulls an arm", (43, 20.4)),
        ((49, 7.4), (37, 7.4), -0.45, "3. its reward,\n+ b if that was the target", (43, 1.9)),
        ((27, 7.4), (15, 7.4), -0.45, RECEIVED, (21, 1.9)),
    ):  # fmt: skip
        arrow = FancyArrowPatch(
            start, end, connectionstyle=f"arc3,rad={bend}", arrowstyle="-|>", mutation_scale=11,
            color="black", linewidth=1.0,
        )  # fmt: skip
        axes.add_patch(arrow)
        axes.text(*place, text, ha="center", va="center", fontsize=SMALL)
    return figure


def draw_forecasts(played, forecasts):
    """The world model's forecast of the target without and with a bonus, beside what came."""
    figure, ((axes,),) = new_panels(6.4, 2.5)
    shown = played["principal"]
    steps = np.arange(1, GAME.num_steps + 1)
    aligned = shown.aligned[0, 0].numpy()
    window = np.ones(15) / 15
    axes.plot(
        steps, np.convolve(aligned, window, mode="same"), color=GREEN, linewidth=0.8,
        label="pulled, mean of 15 steps",
    )  # fmt: skip
    axes.plot(
        steps, forecasts[:, 0], color=GREY, linewidth=LINE_WIDTH, label="forecast, no bonus now"
    )
    axes.plot(steps, forecasts[:, 1], color=BLUE, linewidth=LINE_WIDTH, label="forecast, bonus now")
    levels = shown.levels[0, 0].numpy() > 0
    axes.vlines(steps[levels], 1.04, 1.1, color=VERMILLION, linewidth=1.0, label="bonus offered")
    axes.set(xlim=(0, 201), ylim=(-0.03, 1.12))
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right", bbox_to_anchor=(1.0, 0.02))
    label_axes(axes, x="step", y="probability of the target")
    return figure


def draw_shots():
    """Normalised return against the number of support episodes."""
    figure, ((axes,),) = new_panels(6.4, 2.6)
    populations = ("unseen_ucb", "epsilon_greedy", "softmax", "thompson")
    colours = (BLUE, VERMILLION, GREEN, ORANGE)
    found = returns_by_shots("mermaide_memory")
    for population, colour in zip(populations, colours, strict=True):
        means = [np.mean(found[shots, population]) for shots in SHOTS]
        axes.plot(
            range(len(SHOTS)), means, color=colour, marker="o", markersize=4, linewidth=1.2,
            label=population.replace("_", " "),
        )  # fmt: skip
    axes.legend(fontsize=SMALL, frameon=False, loc="lower right")
    axes.set_xticks(range(len(SHOTS)), list(map(str, SHOTS)))
    label_axes(
        axes, x="shots: episodes with the agent before the scored one", y="normalised return"
    )
    return figure


def draw_normalised_return():
    """Returns of the quickstart on one population, with the scale of the normalised return."""
    figure, ((axes,),) = new_panels(6.4, 2.6)
    path = ROOT / "results" / "quickstart.json"
    rows = [
        row
        for row in json.loads(path.read_text(encoding="utf-8"))
        if row["population"] == "unseen_ucb"
    ]
    names = {
        ("none", 0): "no intervention", ("always", 0): "always", ("burst", 0): "burst",
        ("principal", 0): "principal,\n0 shots", ("principal", 1): "principal,\n1 shot",
        ("oracle", 0): "oracle",
    }  # fmt: skip
    means = {key: row for key in names for row in rows if (row["method"], row["shots"]) == key}
    heights = [row["return_mean"] for row in means.values()]
    colours = [GREY, GREY, GREY, BLUE, BLUE, BLACK]
    axes.bar(list(names.values()), heights, color=colours, width=0.6)
    axes.tick_params(axis="x", length=0)
    label_axes(axes, y="return, reward units a step")
    none, oracle = heights[0], heights[-1]
    scale = axes.secondary_yaxis(
        "right",
        functions=(lambda y: (y - none) / (oracle - none), lambda s: none + s * (oracle - none)),
    )
    scale.tick_params(labelsize=SMALL, length=2.5)
    scale.set_ylabel("normalised return", fontsize=SMALL)
    for height in (none, oracle):
        axes.axhline(height, color=BLACK, linewidth=0.5, linestyle=(0, (4, 3)))
    return figure


def main():
    """Draw them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=OUT)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    played, forecasts = an_episode()
    for name, figure in (
        ("steering", draw_steering(played)),
        ("game", draw_game()),
        ("forecasts", draw_forecasts(played, forecasts)),
        ("shots", draw_shots()),
        ("normalised_return", draw_normalised_return()),
    ):
        write_whole(arguments.out / f"{name}.png", png(figure))


if __name__ == "__main__":
    main()
