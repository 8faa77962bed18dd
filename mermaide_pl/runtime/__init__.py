"""Runs on disk and in processes: checkpoints, resuming, run folders, file writing, printing."""
