"""Answers kept with their entity tags: asked again, the service says 304 where they still hold."""

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Remembered:
    entity_tag: str
    answer: Any


class Memory:
    """The `size` answers used last, by address. Never answers by itself: the service is always asked."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._answers: OrderedDict[str, Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, address: str) -> Remembered | None:
        if not self._size:
            return None
        with self._lock:
            if address in self._answers:
                self._answers.move_to_end(address)
            return self._answers.get(address)

    def put(self, address: str, entity_tag: str | None, answer: Any) -> None:
        if not self._size or entity_tag is None:
            return
        with self._lock:
            self._answers[address] = Remembered(entity_tag, answer)
            self._answers.move_to_end(address)
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
