"""Comparisons of methods over training seeds, populations and conditions."""
