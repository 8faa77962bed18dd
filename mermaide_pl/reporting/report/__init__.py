"""One self-contained page about a training run: what was trained, how it learned, what it does."""

from mermaide_pl.reporting.report.page import write_report

__all__ = ["write_report"]
