"""What can go wrong while learning. Not `ReckonError`s: algorithms import nothing of app, training translates these."""


class AlgorithmError(Exception):
    """Base of the errors of this package; its text is safe to show."""


class InvalidHyperparameter(AlgorithmError):  # noqa: N818  the name says what is wrong; "...Error" would add nothing
    """A hyperparameter that the algorithm does not have, or a value it cannot take."""


class InvalidRatings(AlgorithmError):  # noqa: N818  as above
    """Arrays that are not ratings: unequal lengths, rows out of range, values that are not finite."""


class FitDiverged(AlgorithmError):  # noqa: N818  as above
    """The fit left the finite numbers; nothing of it may be published. A smaller learning rate helps."""


class FeaturesNeeded(AlgorithmError):  # noqa: N818  as above
    """An algorithm that learns from features, and nothing is known of the items or users it asks about."""
