"""`mermaide serve`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mermaide_pl.cli.early_checks import check_inputs
from mermaide_pl.cli.extras import needs_extra
from mermaide_pl.cli.parser import PlainParser
from mermaide_pl.config.input_paths import DEFAULT_PRINCIPAL
from mermaide_pl.service.address import TOKEN, check_address, check_workers


def parser() -> PlainParser:
    """The parser of the command."""
    parser = PlainParser(
        prog="mermaide serve",
        description="Steer learners over HTTP, their log in a database. Requests must bear the"
        " token in the variable MERMAIDE_TOKEN, if there is one.",
    )
    parser.add_argument(
        "--principal",
        type=str,
        default=DEFAULT_PRINCIPAL,
        help="checkpoint of a principal, or pretrained:NAME",
    )
    parser.add_argument(
        "--store",
        type=str,
        default="sqlite:///fleet.db",
        help="URL of the database: a file of SQLite, or postgresql+psycopg://...",
    )
    parser.add_argument("--host", type=str, default="127.0.0.1", help="address to bind to")
    parser.add_argument("--port", type=int, default=8000, help="port to bind to, 0 for a free one")
    parser.add_argument(
        "--workers", type=int, default=1, help="number of processes; they decide as one would"
    )
    return parser


def run(arguments: Sequence[str]) -> None:
    """Steer learners over HTTP."""
    given = parser().parse_args(list(arguments))
    token = os.environ.get(TOKEN) or None
    libraries = ("fastapi", "fastapi_offline", "prometheus_client", "sqlalchemy", "uvicorn")
    with needs_extra("serve", "the service", *libraries):
        from mermaide_pl.service.store import make_engine

        check_inputs(
            lambda: check_address(given.host, given.port, token),
            lambda: check_workers(given.workers),
            lambda: make_engine(given.store),
            ckpt_path=given.principal,
        )
        from mermaide_pl.service.server import serve

    serve(
        given.principal,
        given.store,
        host=given.host,
        port=given.port,
        workers=given.workers,
        token=token,
    )
