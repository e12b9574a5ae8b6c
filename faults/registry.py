"""All faults, in the order in which they run. `python -m faults NAME...` runs some of them."""

<<<<<<< HEAD
FAULTS: tuple[str, ...] = (
    "database_files",
    "database_outage",
    "erasure",
    "unlearning",
    "overload",
    "hostile_peers",
    "web_pages",
    "metric_labels",
    "credentials",
    "key_timing",
    "revocation",
    "rate_limits",
    "secrets",
    "event_loop",
)
=======
FAULTS: tuple[str, ...] = ("event_loop", "training_beside")
>>>>>>> 631f186 (faults: measure answers while the worker trains)
