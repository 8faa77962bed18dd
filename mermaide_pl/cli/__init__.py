"""The `mermaide` command: a file per subcommand."""
