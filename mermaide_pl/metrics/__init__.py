"""Scores and their intervals: normalised return, bootstrap, Student's t, torchmetrics."""
