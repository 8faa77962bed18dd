"""The service as an application of FastAPI."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from secrets import compare_digest
from typing import Annotated, Any

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from fastapi_offline import FastAPIOffline
from sqlalchemy.exc import SQLAlchemyError

from mermaide_pl import __version__
from mermaide_pl.config.validation import one_line
from mermaide_pl.meta_learning.module import MermaideModule
from mermaide_pl.service import models, requests
from mermaide_pl.service.batches import Batches
from mermaide_pl.service.held_fleet import HeldFleet
from mermaide_pl.service.log import Log, Standing
from mermaide_pl.service.metrics import Metrics
from mermaide_pl.service.middleware import Counted, LimitedBodies, OnlyHere
from mermaide_pl.service.requests import RefusedError, no_database, no_learner
from mermaide_pl.service.steering import Steering
from mermaide_pl.service.store import Store
from mermaide_pl.service.summary import summary

_BEARER = HTTPBearer(auto_error=False)
_PAGE = Path(__file__).parent / "page.html"
_MISTAKES: dict[int | str, dict[str, Any]] = {
    status: {"model": models.Mistake} for status in (401, 404, 409, 413, 422, 503)
}


@dataclass
class Service:
    """What the routes need."""

    store: Store
    metrics: Metrics
    batches: Batches

    @classmethod
    def of(cls, module: MermaideModule, store: Store) -> Service:
        """The service of a principal."""
        metrics = Metrics(store)
        return cls(store, metrics, Batches(Steering(HeldFleet(module), store, metrics), metrics))


def application(
    load: Callable[[], MermaideModule], store_url: str, token: str | None = None
) -> FastAPI:
    """The application, which begins to answer when it is started.

    Args:
        load: gives the principal.
        store_url: see `Store`.
        token: that requests must bear; None for none, then names of other hosts are refused.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service.of(load(), Store(store_url))
        service.batches.start()
        yield
        service.batches.stop()
        service.store.close()

    app = FastAPIOffline(
        redoc_url=None,
        title="mermaide",
        version=__version__,
        description="Steers learners, see [the page](/). Every request may be repeated: a step is"
        " decided once, and observed once.",
        lifespan=lifespan,
    )

    async def authorised(
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(_BEARER)],
    ) -> None:
        if token and not (given and compare_digest(given.credentials.encode(), token.encode())):
            raise HTTPException(
                401, "a bearer token is needed", headers={"WWW-Authenticate": "Bearer"}
            )

    if not token:
        app.add_middleware(OnlyHere)
    app.add_middleware(LimitedBodies)
    app.add_middleware(Counted)
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(SQLAlchemyError, _unavailable)
    app.include_router(_open)
    app.include_router(_learners, dependencies=[Depends(authorised)], responses=_MISTAKES)
    return app


async def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


_Service = Annotated[Service, Depends(_service)]
_open, _learners = APIRouter(), APIRouter()


@_open.get("/", response_class=HTMLResponse, include_in_schema=False)
def page() -> str:
    """The page that shows the learners."""
    return _PAGE.read_text(encoding="utf-8")


@_open.get("/health", responses={503: {"model": models.Mistake}})
def health(service: _Service) -> dict[str, str]:
    """Whether the database answers, and decisions are made."""
    with service.store.reading() as log:
        log.counts()
    if not service.batches.runs:
        raise RefusedError(503, "no decisions are made, start the service again")
    return {"status": "ok"}


@_learners.get("/metrics", response_class=Response)
def metrics(service: _Service) -> Response:
    """Counts, in the text format of Prometheus."""
    return Response(service.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


@_learners.post("/learners", status_code=201, responses={200: {"model": models.Learner}})
async def create(given: models.NewLearner, service: _Service, response: Response) -> models.Learner:
    """Add a learner; 200 if there is one of that name with the same settings."""
    settings = given.model_dump(exclude={"name"}, exclude_none=True)
    found = await service.batches.submit(requests.Create(given.name, settings))
    response.status_code = 201 if found["new"] else 200
    return models.Learner(**found)


@_learners.get("/learners")
def learners(
    service: _Service,
    after: str = "",
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[models.Learner]:
    """Learners in order of their names, from the first after a text on."""
    with service.store.reading() as log:
        return [models.Learner(**summary(each)) for each in log.page(after, limit)]


@_learners.get("/learners/{name}")
def learner(name: str, service: _Service) -> models.Learner:
    """Where a learner stands."""
    with service.store.reading() as log:
        return models.Learner(**summary(_existing(log, name)))


@_learners.put("/learners/{name}/paused")
async def pause(name: str, given: models.Paused, service: _Service) -> models.Paused:
    """Pause a learner, or resume it. Levels that were answered stay."""
    found = await service.batches.submit(requests.Pause(name, given.paused))
    return models.Paused(paused=found["paused"])


# these two are asked most: their answers are not read again by FastAPI
@_learners.post("/learners/{name}/intervene", response_model=models.Decision)
async def intervene(name: str, given: models.Asked, service: _Service) -> JSONResponse:
    """The level of a step."""
    asked = requests.Intervene(name, given.step, given.episode)
    return JSONResponse(await service.batches.submit(asked))


@_learners.post("/learners/{name}/observe", response_model=models.Observed)
async def observe(name: str, given: models.Outcome, service: _Service) -> JSONResponse:
    """Record the outcome of a step."""
    outcome = requests.Observe(name, given.step, given.arm, given.agent_reward, given.episode)
    return JSONResponse(await service.batches.submit(outcome))


@_learners.post("/learners/{name}/end_episode")
async def end_episode(name: str, given: models.Episode, service: _Service) -> models.Episode:
    """End an episode, early or not; the number of the one that begins."""
    return models.Episode(**await service.batches.submit(requests.EndEpisode(name, given.episode)))


@_learners.post("/learners/{name}/adapt")
async def adapt(name: str, given: models.Episode, service: _Service) -> models.Adaptation:
    """Adapt to the learner, for the episode of this number, which begins, and those after it."""
    return models.Adaptation(**await service.batches.submit(requests.Adapt(name, given.episode)))


@_learners.get("/learners/{name}/forecast")
async def forecast(name: str, service: _Service) -> models.Chances:
    """What the learner will do next, at every level."""
    return models.Chances(**await service.batches.submit(requests.Forecast(name)))


@_learners.get("/learners/{name}/history")
def history(
    name: str,
    service: _Service,
    episode: models.Place = 0,
    step: models.Place = 0,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
) -> models.History:
    """What was decided and observed, from a step of an episode on."""
    with service.store.reading() as log:
        at = _existing(log, name)
        rows = log.history(at.key, episode, step, limit + 1)
    arms, bonuses = at.game["arms"], at.game["bonuses"]
    events = [
        models.Event(
            episode=row.episode,
            step=row.step,
            level=row.level,
            bonus=bonuses[row.level],
            arm=None if row.arm is None else arms[row.arm],
            agent_reward=row.agent_reward,
            at=row.at,
        )
        for row in rows[:limit]
    ]
    further = rows[limit] if len(rows) > limit else None
    place = further and models.Step(episode=further.episode, step=further.step)
    return models.History(events=events, next=place)


@_learners.get("/learners/{name}/curve")
def curve(
    name: str,
    service: _Service,
    last: Annotated[int, Query(ge=1, le=100_000)] = 2000,
    points: Annotated[int, Query(ge=1, le=1000)] = 100,
) -> list[models.Point]:
    """Alignment and interventions over the last steps, averaged over stretches."""
    with service.store.reading() as log:
        at = _existing(log, name)
        rows = log.curve(at, last, points)
    first = at.steps - min(at.steps, last)
    return [models.Point(**{**row._mapping, "place": first + row.place}) for row in rows]


def _existing(log: Log, name: str) -> Standing:
    try:
        return log.standings([name])[name]
    except KeyError:
        raise no_learner(name) from None


def _refused(_: Request, refused: Any) -> JSONResponse:
    body = {"detail": refused.detail}
    if refused.expected:
        body["expected"] = refused.expected
    return JSONResponse(body, refused.status)


def _invalid(_: Request, error: Any) -> JSONResponse:
    wrong = dict.fromkeys(map(_mistake, error.errors()))
    return JSONResponse({"detail": one_line("; ".join(wrong))}, 422)


def _mistake(found: Mapping[str, Any]) -> str:
    """What FastAPI found wrong, and where."""
    place = ".".join(str(part) for part in found["loc"][1:])
    if found["type"] == "json_invalid":
        return f"body: is not JSON at character {place}: {found['ctx']['error']}"
    if found["type"] == "model_attributes_type":
        return "body: must be an object of JSON, with the header Content-Type: application/json"
    return f"{place or 'body'}: {found['msg']}"


def _unavailable(request: Request, error: Any) -> JSONResponse:
    return _refused(request, no_database(error))
