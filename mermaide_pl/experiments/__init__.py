"""Experiments: figures of the paper, of one principal in many games, of people; comparisons."""

PAPER_FIGURES = ("fig2", "fig3", "fig4", "fig5", "fig6")
"""Names of the figures of the paper, which `mermaide_pl.experiments.paper` makes."""
GAME_FIGURES = ("games", "budget", "frontier")
"""Names of the figures of a universal principal, which `mermaide_pl.experiments.games` makes."""
CHOICE_FIGURES = ("choice_engineering",)
"""Names of the figures of people's choices, as `mermaide_pl.experiments.choice_engineering` has."""
