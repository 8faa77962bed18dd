"""Where the service may be reached, and by whom."""

from __future__ import annotations

from ipaddress import ip_address

from mermaide_pl.config.validation import whole_number

TOKEN = "MERMAIDE_TOKEN"
"""The variable that holds the bearer token."""


def check_address(host: str, port: int, token: str | None) -> None:
    """Refuse a port that there is not, and to be reached from other machines without a token.

    Raises:
        ValueError: one line that says what to set.
    """
    whole_number("--port", port, low=0, high=65535)
    try:
        is_here = host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        is_here = False
    if not (is_here or token):
        raise ValueError(
            f"--host {host}: other machines could steer your learners; set a bearer token in"
            f" {TOKEN}, or bind to 127.0.0.1"
        )
