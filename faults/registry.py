"""All faults, in the order in which they run. `python -m faults NAME...` runs some of them."""

FAULTS: tuple[str, ...] = (
    "database_files",
    "disk_full",
    "kills",
    "database_outage",
    "overload",
    "event_loop",
    "training_beside",
    "hostile_peers",
    "web_pages",
    "metric_labels",
    "credentials",
    "key_timing",
    "revocation",
    "rate_limits",
    "secrets",
    "erasure",
    "unlearning",
    "concurrent_retries",
    "read_your_writes",
    "hostile_values",
    "random_requests",
    "two_databases",
    "gate",
    "publish_crashes",
    "damaged_snapshots",
    "leases",
    "restarts",
    "tenants",
)

IN_TESTS = (
    "web_pages",
    "credentials",
    "secrets",
    "erasure",
    "publish_crashes",
    "damaged_snapshots",
    "concurrent_retries",
    "random_requests",
)
"""Those that `make test` runs at their smallest size: they take less than 45 seconds, and no figure is a time."""
