"""Searches over configurations: settings, trials, the record they share, and what came out."""
