"""Bodies of requests and answers, as they stand in the OpenAPI page."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, StrictInt, StrictStr

Label = Annotated[StrictInt | StrictStr, Field(description="label of an arm")]
Place = Annotated[int, Field(ge=0, lt=2**31)]
Number = Annotated[Place, Field(strict=True)]
Name = Annotated[str, Field(pattern=r"^\w[\w.:@+-]{0,199}$", examples=["ann"])]
Reward = Annotated[
    float | None,
    Field(
        description="the learner's reward, bonus included; only with full information",
        allow_inf_nan=False,
    ),
]
Running = Annotated[Number | None, Field(description="of the running episode if left out")]


class _Given(BaseModel):
    model_config = ConfigDict(extra="forbid")


class NewLearner(_Given):
    """A learner to add; what is left out is as in the training of the principal."""

    name: Name
    arms: list[Label] | None = Field(None, description="labels; 0 to A - 1 if left out")
    target: Label | None = Field(None, description="arm that the principal prefers")
    target_arm: Number | None = Field(None, description="its position, in place of `target`")
    num_steps: Number | None = Field(None, description="of an episode")
    bonuses: list[float] | None = Field(
        None, description="bonus of each level, reward units, the first 0, in rising order"
    )
    cost: float | None = Field(None, description="of one unit of bonus")
    full_information: bool | None = Field(None, description="the learner's rewards are observed")
    max_interventions: Number | None = Field(None, description="budget of an episode")
    sampling_seed: int | None = Field(
        None, ge=0, lt=2**64, description="levels are sampled; the most probable if left out"
    )


class Learner(BaseModel):
    """Where a learner stands."""

    name: str
    principal: str = Field(description="checksum of the principal")
    created: float = Field(description="seconds since 1970")
    paused: bool
    episode: int = Field(description="number of the running episode, from 0")
    step: int = Field(description="steps observed in it, the number of the next")
    level: int | None = Field(description="answered, its outcome not yet observed")
    adapted: int = Field(description="first episode of the last adaptation, 0 for none")
    steps: int = Field(description="observed in all episodes")
    alignment: float | None = Field(description="share of pulls of the target")
    intervention_rate: float | None = Field(description="share of steps with a bonus")
    budget_left: int | None = Field(description="interventions of the episode; null: no limit")
    target: str | int
    arms: list[str | int]
    num_steps: int | None = Field(description="of an episode; null: no fixed end")
    bonuses: list[float]
    cost: float
    full_information: bool
    max_interventions: int | None


class Asked(_Given):
    """A step whose level is asked for."""

    step: Number
    episode: Running = None


class Decision(BaseModel):
    """The level of a step; the same whenever it is asked for."""

    episode: int
    step: int
    level: int = Field(description="0: do not intervene")
    bonus: float = Field(description="to be added to the learner's reward if it pulls the target")


class Outcome(_Given):
    """What the learner did in a step."""

    step: Number
    arm: Label
    agent_reward: Reward = None
    episode: Running = None


class Observed(Decision):
    """A step with its outcome."""

    arm: str | int | None = Field(description="null if the episode ended before it was observed")
    agent_reward: float | None


class Episode(_Given):
    """The number of an episode."""

    episode: Number


class Adaptation(BaseModel):
    """What the principal has adapted to."""

    episode: int = Field(description="the first that it plays so")
    num_episodes: int = Field(description="that it adapted on")


class Chances(BaseModel):
    """Forecast of the next arm at every level."""

    episode: int
    step: int
    arms: list[str | int]
    chances: list[list[float]] = Field(description="of each level, the chance of each arm")


class Paused(_Given):
    """Whether a learner is paused; then every level is 0."""

    paused: bool = Field(strict=True)


class Step(BaseModel):
    """A step of the log."""

    episode: int
    step: int


class Event(Observed):
    """A step of the log."""

    at: float = Field(description="seconds since 1970")


class History(BaseModel):
    """Steps of a learner in their order."""

    events: list[Event]
    next: Step | None = Field(description="where to read on; null at the end")


class Point(BaseModel):
    """The mean of a stretch of steps."""

    place: int = Field(description="of its first step, among all steps of the learner")
    episode: int = Field(description="of its first step")
    steps: int
    alignment: float
    intervention_rate: float


class Mistake(BaseModel):
    """Why a request was refused."""

    detail: str
    expected: Step | None = None
