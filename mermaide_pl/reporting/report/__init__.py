"""Report: one self-contained page about a training run, with scores, curves and an episode."""

from mermaide_pl.reporting.report.page import write_report

__all__ = ["write_report"]
