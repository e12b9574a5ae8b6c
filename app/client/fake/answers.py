"""What the fake answers: for every operation a method of the same name, with the same parameters."""

from .catalogue import CatalogueAnswers
from .lists import ListAnswers
from .ratings import RatingAnswers
from .training import TrainingAnswers


class Answers(RatingAnswers, ListAnswers, CatalogueAnswers, TrainingAnswers):
    """All of them."""
