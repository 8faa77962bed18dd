"""Figures, TensorBoard and the report page of a run."""

from mermaide_pl.reporting.figures import FigureLogger, SettingsLogger

__all__ = ["FigureLogger", "SettingsLogger"]
