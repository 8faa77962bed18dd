"""`mermaide fit`, `validate` and `test`."""

from __future__ import annotations

import re
from collections.abc import Sequence

from mermaide_pl.cli.early_checks import check_training
from mermaide_pl.config.input_paths import CONFIGURATIONS


def run(command: str, arguments: Sequence[str]) -> None:
    """Train a principal, or score it."""
    words = with_configuration_files(arguments)
    check_training(command, words)
    from mermaide_pl.cli import lightning

    lightning.run(command, words)


def with_configuration_files(arguments: Sequence[str]) -> list[str]:
    """Replace the names of the package's configurations by their files."""
    found: list[str] = []
    for word in arguments:
        word = re.sub("^-c=?(?=.)", "--config=", word)
        option, _, value = word.partition("=")
        if option == "--config" and value:
            word = f"--config={CONFIGURATIONS.path(value)}"
        is_value = bool(found) and found[-1] in ("-c", "--config")
        found.append(str(CONFIGURATIONS.path(word)) if is_value else word)
    return found
