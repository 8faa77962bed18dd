"""What stands before the routes: names of this machine, a limit on bodies, counts of requests."""

from __future__ import annotations

import time

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mermaide_pl.service.address import TOKEN, is_here
from mermaide_pl.service.metrics import Metrics

MAX_BODY = 2**20
"""Bytes of a request, enough for the labels of thousands of arms."""


class OnlyHere:
    """Refuses requests by other names than this machine's.

    A page of another host could otherwise reach the service through the browser of a person here,
    by a name that leads to this machine.

    Args:
        app: what answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request by a name of this machine."""
        app = self._app
        if scope["type"] == "http":
            host = Request(scope).url.hostname or ""
            if not is_here(host):
                reason = f"without a token ({TOKEN}) only names of this machine are answered"
                app = JSONResponse({"detail": f"{reason}, got host {host!r:.60}"}, 400)
        await app(scope, receive, send)


class LimitedBodies:
    """Refuses bodies longer than `MAX_BODY`, before they are read in full.

    Args:
        app: what answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request whose body is not too long."""
        length = 0

        async def limited() -> Message:
            nonlocal length
            message = await receive()
            length += len(message.get("body", b""))
            if length > MAX_BODY:
                reason = f"a body must have at most {MAX_BODY} bytes"
                raise HTTPException(413, reason, headers={"Connection": "close"})
            return message

        await self._app(scope, limited, send)


class Counted:
    """Counts requests and their times, by route.

    Args:
        app: what answers them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer and count a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            counts: Metrics = scope["app"].state.service.metrics
            route = getattr(scope.get("route"), "path", "other")
            counts.requests.labels(route, status).inc()
            counts.seconds.labels(route).observe(time.perf_counter() - began)
