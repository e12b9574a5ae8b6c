"""The metrics that Reckon has, as an operator reads them: for the table of the documentation, and for rules."""

import re
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from app.observability.consumption import ConsumerMetrics
from app.observability.metrics import Metrics
from tests.support.states import known_states

OF_LIBRARY = re.compile(r"_created$")
"""Times of the library, one for each counter."""

OF_HISTOGRAM = re.compile(r"_(bucket|sum|count)$")


@dataclass(frozen=True)
class MetricRow:
    name: str
    kind: str
    labels: tuple[str, ...]
    meaning: str

    @property
    def line(self) -> str:
        """Of the table in `docs/operations.md`."""
        labels = ", ".join(f"`{label}`" for label in self.labels)
        return f"| `{self.name}` | {self.kind} | {labels} | {self.meaning} |"


def all_metrics() -> Metrics:
    """Each of them has counted something."""
    metrics = Metrics(known_states())
    metrics.count_request("GET", "/livez", 200, 0.001)
    metrics.count_tenant_request("shop", 200)
    metrics.count_problem("invalid-input")
    metrics.count_refused_peer("reset")
    metrics.count_recommendations("popular", is_known=True)
    metrics.count_degraded()
    metrics.count_ratings("stored")
    metrics.count_events("view", "stored")
    metrics.count_placement_problem("home", "empty_list")
    metrics.count_poll_failure()
    metrics.count_snapshot_fetch("fetched")
    metrics.count_replica_read("used")
    metrics.observe_lag("ratings", 0.1)
    metrics.observe_loop_lag(0.001)
    return metrics


def all_consumer_metrics() -> ConsumerMetrics:
    """Each of them has counted something."""
    metrics = ConsumerMetrics()
    metrics.count_messages("ratings", 1)
    metrics.count_ratings("stored", 1)
    metrics.count_events("view", "stored", 1)
    metrics.waits("unavailable", "the database does not answer")
    metrics.observe_lag({("ratings", 0): 1})
    return metrics


def metric_rows() -> list[MetricRow]:
    """Of API processes."""
    return _rows(all_metrics().render().decode())


def consumer_metric_rows() -> list[MetricRow]:
    """Of `reckon consume`."""
    return _rows(generate_latest(all_consumer_metrics()._registry).decode())


def _rows(text: str) -> list[MetricRow]:
    rows = []
    for family in text_string_to_metric_families(text):
        if not OF_LIBRARY.search(family.name):
            labels = {label: None for sample in family.samples for label in sample.labels if label != "le"}
            name = f"{family.name}_total" if family.type == "counter" else family.name
            rows.append(MetricRow(name, family.type, tuple(labels), family.documentation))
    return sorted(rows, key=lambda row: row.name)


def names_in(expressions: str) -> set[str]:
    """The metrics that queries name, without the endings of histograms."""
    histograms = {row.name for row in metric_rows() if row.kind == "histogram"}
    named = set(re.findall(r"\breckon_[a-z_]+\b", expressions))
    return {OF_HISTOGRAM.sub("", name) if OF_HISTOGRAM.sub("", name) in histograms else name for name in named}
