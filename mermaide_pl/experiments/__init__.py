"""Experiments: the figures of the paper, and comparisons of methods."""
