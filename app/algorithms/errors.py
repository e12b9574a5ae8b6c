"""The errors of this package; no `ReckonError`s, because algorithms import nothing of app. Training maps them."""


class AlgorithmError(Exception):
    """Base class of the errors of this package; its text is safe to show to a caller."""


class InvalidHyperparameterError(AlgorithmError):
    """A hyperparameter that the algorithm does not have, or a value outside its range."""


class InvalidRatingsError(AlgorithmError):
    """Arrays that are not ratings: unequal lengths, rows out of range, or values that are not finite."""


class FitDivergedError(AlgorithmError):
    """A fit produced values that are not finite and must not be published. A smaller learning rate often helps."""


class FeaturesNeededError(AlgorithmError):
    """The algorithm learns from features, and the items or users that it needs have none."""
