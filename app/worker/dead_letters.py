"""Messages and rows that could not be stored, for the dead-letter topic.

A message that is refused as a whole is kept as it came, and a refused row of a list by itself. The header
`reckon-reason` says why, others say where the message is. A body that is too large is left out: the place in its topic
refers to it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from app.intake.json_limits import MAX_BODY_BYTES
from app.intake.rows import printable
from app.worker.messages import TENANT_HEADER, TopicMessage

PREFIX = "reckon-"
MAX_REASON = 1_000
MAX_HEADER_BYTES = 1 << 14
"""Of the headers of a message that go along."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    message: TopicMessage
    key: bytes | None
    body: bytes | None
    headers: Sequence[tuple[str, bytes | None]]

    def by_reference(self) -> "DeadLetter":
        """The same without key and body, for a broker to which it is too large."""
        own = [each for each in self.headers if each[0].startswith(PREFIX)]
        return replace(self, key=None, body=None, headers=own)


def dead_letter(message: TopicMessage, reason: str, row: tuple[int, Any] | None = None) -> DeadLetter:
    """`row`: the index and the JSON of the row that is refused; None: all of the message."""
    body = message.body
    if body is not None and len(body) > MAX_BODY_BYTES:
        body = None
    own = {
        "reason": reason[:MAX_REASON],
        "topic": message.topic,
        "partition": message.partition,
        "offset": message.offset,
        "timestamp": "" if message.sent_at is None else message.sent_at // 1_000,
        "size": len(message.body or b""),
    }
    if row is not None:
        own["row"], given = row
        body = json.dumps(given).encode()
    # Those of an earlier refusal, if this message was a dead letter, are replaced.
    kept = [each for each in message.headers if each[0] == TENANT_HEADER or not each[0].startswith(PREFIX)]
    if sum(len(name) + len(value or b"") for name, value in kept) > MAX_HEADER_BYTES:
        kept = []
    headers = [(PREFIX + name, printable(str(value)).encode()) for name, value in own.items()]
    return DeadLetter(message, message.key, body, [*kept, *headers])
