"""What the fake answers: for every operation a method of the same name, with the same parameters."""

from collections.abc import Callable
from typing import Any

from .catalogue import CatalogueAnswers
from .events import EventAnswers
from .lists import ListAnswers
from .memory import Memory
from .placements import PlacementAnswers
from .ratings import RatingAnswers
from .training import TrainingAnswers

TOPICS = (RatingAnswers, EventAnswers, ListAnswers, CatalogueAnswers, PlacementAnswers, TrainingAnswers)


def answers_from(memory: Memory) -> dict[str, Callable[..., Any]]:
    """By the operation's name."""
    topics = [topic(memory) for topic in TOPICS]
    return {name: getattr(topic, name) for topic in topics for name in dir(topic) if not name.startswith("_")}
