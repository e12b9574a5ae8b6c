"""The processes of the service, and what they did in the last hour."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Self

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from app.api.access import caller_of, needs
from app.api.problems import responses
from app.api.routing import StrictRoute, service_of
from app.auth.errors import ForbiddenError
from app.observability.activity import LATENCY_BUCKETS, Minute, last_hour
from app.observability.consumption import ConsumerState
from app.store.processes import ProcessBeat, ProcessBeats

router = APIRouter(tags=["operation"], route_class=StrictRoute)


class PartitionOut(BaseModel):
    topic: str = Field(examples=["reckon.ratings"])
    partition: int = Field(examples=[0])
    lag: int = Field(description="Its messages that are not stored yet", examples=[120])


class ConsumerOut(BaseModel):
    """What `reckon consume` does."""

    messages: int = Field(description="Dealt with since its start", examples=[48_000])
    dead_letters: int = Field(description="Refused messages and rows since its start", examples=[2])
    lag: int = Field(description="Messages that are not stored yet, of all its partitions", examples=[120])
    partitions: list[PartitionOut] = Field(description="Those that it has, by topic and number")
    waits_for: str | None = Field(
        description="Why it stores nothing now; null while it does",
        examples=["the disk of the database is nearly full"],
    )

    @classmethod
    def of(cls, activity: Mapping[str, Any]) -> Self | None:
        if (state := ConsumerState.of(activity)) is None:
            return None
        partitions = [PartitionOut(topic=topic, partition=number, lag=n) for (topic, number), n in state.lag.items()]
        return cls(
            messages=state.messages,
            dead_letters=state.dead_letters,
            lag=state.total_lag,
            partitions=partitions,
            waits_for=state.waits_for,
        )


class HeartbeatOut(BaseModel):
    """What a process has last said of itself."""

    process_id: str = Field(examples=["reckon-1-4711-9f2c1a"])
    name: str = Field(
        description="`api 1`, `api 2`, ..., `worker`, `consumer`; `api` where something other than `reckon serve` runs "
        "it",
        examples=["api 1"],
    )
    host: str = Field(examples=["reckon-1"])
    pid: int = Field(examples=[4711])
    started_at: datetime
    beat_at: datetime = Field(description="Every process beats every 10 seconds", examples=["2024-03-01T20:15:00Z"])
    is_alive: bool = Field(description="It beat in the last 35 seconds", examples=[True])
    version: str = Field(description="Of Reckon", examples=["0.1.0"])
    snapshot_version: int | None = Field(
        description="Of the snapshot that it serves; null without one, and for a worker or consumer"
    )
    consumer: ConsumerOut | None = Field(description="What a consumer of Kafka does; null for all others")

    @classmethod
    def from_beat(cls, beat: ProcessBeat) -> Self:
        same = {name: getattr(beat, name) for name in cls.model_fields if name != "consumer"}
        return cls(**same, consumer=ConsumerOut.of(beat.activity))


class ActivityCountsOut(BaseModel):
    requests: int = Field(description="Answered, refused ones included; probes and metrics left out", examples=[1_200])
    server_errors: int = Field(description="Answers of 500 or more, refusals left out", examples=[0])
    refused: int = Field(description="Because of overload or the rate limit of a key", examples=[3])
    ratings: int = Field(description="Received and stored, new or in place of another")
    events: int = Field(description="Received and stored")
    p50_seconds: float | None = Field(
        description="Half of the answers took at most this long, estimated from a histogram, whose last time is "
        "5 seconds: longer ones are given as 5; null without any",
        examples=[0.0041],
    )
    p99_seconds: float | None = Field(description="The same for 99 % of them", examples=[0.021])


class ActivityMinuteOut(ActivityCountsOut):
    minute: datetime = Field(description="The time at which it begins", examples=["2024-03-01T20:15:00Z"])
    lists: dict[str, int] = Field(
        description="Recommendation lists by strategy", examples=[{"personalized": 80, "popular": 20}]
    )


class ActivityOut(ActivityCountsOut):
    """Of all processes together, tenants included."""

    strategies: dict[str, float] = Field(
        description="Share of each strategy in the recommendation lists, the largest first; empty without lists",
        examples=[{"personalized": 0.8, "popular": 0.2}],
    )
    minutes: list[ActivityMinuteOut] = Field(description="The last 60, the current one included, oldest first")


class ProcessesOut(BaseModel):
    processes: list[HeartbeatOut] = Field(
        description="Those that beat in the last hour, by name. One that ended cleanly is not among them"
    )
    activity: ActivityOut

    @classmethod
    def from_beats(cls, beats: ProcessBeats) -> Self:
        done = last_hour([beat.activity for beat in beats.beats], beats.read_at)
        minutes = [
            ActivityMinuteOut(minute=at, lists=dict(minute.lists), **_counts_of(minute)) for at, minute in done.minutes
        ]
        return cls(
            processes=[HeartbeatOut.from_beat(beat) for beat in beats.beats],
            activity=ActivityOut(strategies=done.total.shares, minutes=minutes, **_counts_of(done.total)),
        )


def _counts_of(minute: Minute) -> dict[str, float | None]:
    counts = {name: getattr(minute, name) for name in ActivityCountsOut.model_fields if hasattr(minute, name)}
    return counts | {"p50_seconds": _seconds_of(minute, 0.5), "p99_seconds": _seconds_of(minute, 0.99)}


def _seconds_of(minute: Minute, share: float) -> float | None:
    seconds = minute.latency_seconds(share)
    # JSON has no infinity, which stands for a time above the last bucket.
    return None if seconds is None else min(seconds, LATENCY_BUCKETS[-1])


@router.get(
    "/processes",
    summary="List the processes of the service",
    responses=responses(422, 503),
    openapi_extra=needs("console"),
)
def get_processes(request: Request) -> ProcessesOut:
    """What each API process, worker and consumer has last said of itself, at most 10 seconds ago while it runs, and
    what they did together in the last hour. A worker answers no requests. Of all tenants together, and so for a key of
    the main catalogue alone.
    """
    if caller_of(request).tenant is not None:
        raise ForbiddenError("the processes are of the whole deployment: they need a key of the main catalogue")
    return ProcessesOut.from_beats(service_of(request).store.processes.read())
