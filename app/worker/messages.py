"""What a message of a topic says: ratings or events of one catalogue, or why it is refused as a whole.

Its body is that of `POST /ratings` or `POST /events`: one row, a list of rows, or an object with this list. The header
`reckon-tenant` names a catalogue other than the main one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from app.entities import Rating
from app.errors import InvalidInputError
from app.intake.json_limits import MAX_BODY_BYTES, check_json, parse_json
from app.intake.received import EventIn, EventsIn, RatingIn, RatingsIn
from app.intake.recording import ReceivedEvent
from app.intake.rows import fault_of, printable, read_rows
from app.settings import Settings

MessageKind = Literal["ratings", "events"]
Place = tuple[str, int]
"""A topic and the number of a partition."""

TENANT_HEADER = "reckon-tenant"


def kinds_of(settings: Settings) -> dict[str, MessageKind]:
    """What the topics of the settings hold. Raises `InvalidInputError` unless they are different ones."""
    named: list[tuple[str, MessageKind]] = [
        (settings.kafka_ratings_topic, "ratings"),
        (settings.kafka_events_topic, "events"),
    ]
    kinds = {topic: kind for topic, kind in named if topic}
    if not kinds:
        raise InvalidInputError("RECKON_KAFKA_RATINGS_TOPIC and RECKON_KAFKA_EVENTS_TOPIC name no topic")
    if len({*kinds, settings.kafka_dead_letters_topic}) < 1 + sum(bool(topic) for topic, _ in named):
        raise InvalidInputError("the topics of ratings, of events and of dead letters must be different ones")
    return kinds


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """A message as the broker has it. `sent_at`: its timestamp, microseconds UTC; None without one."""

    topic: str
    partition: int
    offset: int
    sent_at: int | None
    key: bytes | None
    body: bytes | None
    headers: Sequence[tuple[str, bytes | None]] = ()

    @property
    def place(self) -> Place:
        return self.topic, self.partition


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """The rows of a message, by their index: good ones, and for those that are `refused` the reason.

    `tenant`: whose catalogue it is for; None: that of the consumer. `given`: each row as it came. `is_list`: whether
    they came as a list.
    """

    tenant: str | None
    sent_at: int
    ratings: Sequence[tuple[int, Rating]]
    events: Sequence[tuple[int, ReceivedEvent]]
    refused: Sequence[tuple[int, str]]
    given: Sequence[Any]
    is_list: bool


def read_message(message: TopicMessage, kind: MessageKind) -> ReadMessage:
    """Raises `ReckonError` for a message that is refused as a whole."""
    tenant = _tenant_of(message)
    if message.sent_at is None:
        raise InvalidInputError("the message has no timestamp")
    if message.body is None:
        raise InvalidInputError("the message has no body")
    if len(message.body) > MAX_BODY_BYTES:
        raise InvalidInputError(f"a body has at most {MAX_BODY_BYTES:,} bytes, and this one has {len(message.body):,}")
    check_json(message.body)
    try:
        document = parse_json(message.body)
    except ValueError as error:
        raise InvalidInputError(printable(f"not JSON: {error}")) from None
    is_body = isinstance(document, dict) and document.keys() == {kind}
    is_list = is_body or isinstance(document, list)
    given = document[kind] if is_body else document if is_list else [document]
    try:
        if kind == "ratings":
            RatingsIn.model_validate({kind: given})
        else:
            EventsIn.model_validate({kind: given})
    except ValidationError as error:
        raise InvalidInputError(fault_of(error)) from None
    ratings: list[Rating | str] = read_rows(given, RatingIn, RatingIn.to_entity) if kind == "ratings" else []
    events: list[ReceivedEvent | str] = read_rows(given, EventIn, EventIn.to_received) if kind == "events" else []
    return ReadMessage(
        tenant=tenant,
        sent_at=message.sent_at,
        ratings=[(index, row) for index, row in enumerate(ratings) if isinstance(row, Rating)],
        events=[(index, row) for index, row in enumerate(events) if isinstance(row, ReceivedEvent)],
        refused=[(index, row) for index, row in enumerate([*ratings, *events]) if isinstance(row, str)],
        given=given,
        is_list=is_list,
    )


def _tenant_of(message: TopicMessage) -> str | None:
    names = [value for name, value in message.headers if name == TENANT_HEADER]
    if len(names) > 1:
        raise InvalidInputError(f"the message has several headers {TENANT_HEADER}")
    if not names:
        return None
    try:
        return (names[0] or b"").decode()
    except UnicodeDecodeError:
        raise InvalidInputError(f"the header {TENANT_HEADER} is not UTF-8") from None
