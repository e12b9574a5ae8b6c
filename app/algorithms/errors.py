"""What can go wrong while learning. Not `ReckonError`s: algorithms import nothing of app, training translates these."""


class AlgorithmError(Exception):
    """Base of the errors of this package; its text is safe to show."""


class InvalidHyperparameterError(AlgorithmError):
    """A hyperparameter that the algorithm does not have, or a value it cannot take."""


class InvalidRatingsError(AlgorithmError):
    """Arrays that are not ratings: unequal lengths, rows out of range, values that are not finite."""


class FitDivergedError(AlgorithmError):
    """The fit left the finite numbers; nothing of it may be published. A smaller learning rate helps."""


class FeaturesNeededError(AlgorithmError):
    """An algorithm that learns from features, and nothing is known of the items or users it asks about."""
