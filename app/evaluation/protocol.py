"""States in words how figures are measured, for the reader of a table, a page or a document."""

import numpy as np

from app.evaluation.experiment import Experiment
from app.evaluation.rolling import Questions
from app.evaluation.splits import rules_on_equal_times

_LISTS = "A list ranks all items of the data but those of the user's training part; figures are means over users."
_EQUAL_SCORES = "Items with equal scores are ranked in the order in which the data name them first."


def protocol(experiment: Experiment, split: str) -> list[str]:
    """Return sentences on what is relevant, what is ranked, and what equal scores and equal times do."""
    lists = _questions(experiment) if experiment.is_rolling else [_relevance(experiment), _LISTS]
    return [*lists, _EQUAL_SCORES, *rules_on_equal_times(split)]


def _relevance(experiment: Experiment) -> str:
    if _is_all_relevant(experiment):
        return "Every held-out item is relevant."
    return f"Held-out items rated {experiment.relevant_from:g} or higher are relevant."


def _is_all_relevant(experiment: Experiment) -> bool:
    return bool((experiment.ratings.values >= experiment.relevant_from).all())


def _questions(experiment: Experiment) -> list[str]:
    train, test = experiment.parts(0)
    asked = Questions.from_parts(train, test, experiment.relevant_from)
    n_users = len(np.unique(asked.user_rows))
    n_relevant = int(np.count_nonzero(test.values >= experiment.relevant_from))
    not_asked = n_relevant - len(asked)
    sentences = [
        f"{len(asked):,} held-out interactions of {n_users:,} users are asked one after the other.",
        "A list ranks all items of the data but those of the user's history; the next item alone is relevant.",
        "Algorithms learn once, from the training part.",
        "Figures are means over users of the mean over a user's questions.",
    ]
    if not _is_all_relevant(experiment):
        sentences.append(f"Only interactions rated {experiment.relevant_from:g} or higher are asked.")
    if not_asked:
        sentences.append(f"{not_asked:,} interactions are not asked, because they are the first of their user.")
    return sentences
