"""Engines: what plays the game between a principal and its agents."""
