"""Processes of this machine."""

import os


def is_alive(process: int) -> bool:
    """True if a process with this number runs on this machine."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
