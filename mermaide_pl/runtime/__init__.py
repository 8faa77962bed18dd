"""How a run is kept: checkpoints, resuming, folders, processes, files and what is printed."""
