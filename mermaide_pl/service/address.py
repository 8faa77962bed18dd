"""Where the service may be reached, by whom, and by how many processes it is answered."""

from __future__ import annotations

from ipaddress import ip_address

from mermaide_pl.config.validation import check_count, whole_number

TOKEN = "MERMAIDE_TOKEN"
"""The variable that holds the bearer token."""


def is_here(host: str) -> bool:
    """True for names of this machine that no other machine reaches."""
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


def check_workers(workers: int) -> None:
    """Refuse a number of processes that cannot be meant.

    Raises:
        ValueError: one line with the numbers that are allowed.
    """
    check_count("--workers", workers, low=1, high=256)


def check_address(host: str, port: int, token: str | None) -> None:
    """Refuse a port that there is not, and to be reached from other machines without a token.

    Raises:
        ValueError: one line that says what to set.
    """
    whole_number("--port", port, low=0, high=65535)
    if not (is_here(host) or token):
        raise ValueError(
            f"--host {host}: other machines could steer your learners; set a bearer token in"
            f" {TOKEN}, or bind to 127.0.0.1"
        )
