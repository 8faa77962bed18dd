"""Searches over configurations: settings, trials, the shared study, and the results."""
