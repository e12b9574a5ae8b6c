"""Alert rules and dashboard name metrics that exist. `make promtool` checks their syntax and their behaviour."""

import yaml

from tests.support.deploy_files import ALERT_CASES, DEPLOY, alert_rules, dashboard_queries
from tests.support.metric_names import metric_rows, names_in

NAMES = {row.name for row in metric_rows()}


def test_alerts_name_metrics() -> None:
    for rule in alert_rules():
        assert names_in(rule["expr"]) <= NAMES, rule["alert"]
        assert names_in(rule["annotations"]["action"]) <= NAMES, rule["alert"]


def test_dashboard_shows_all_metrics() -> None:
    assert names_in(" ".join(dashboard_queries().values())) == NAMES


def test_each_alert_has_a_case() -> None:
    tests = yaml.safe_load(ALERT_CASES.read_text())["tests"]
    tested = {each["alertname"] for test in tests for each in test["alert_rule_test"] if each["exp_alerts"]}
    assert tested == {rule["alert"] for rule in alert_rules()}


def test_metrics_are_documented() -> None:
    """`docs/operations.md` has a line for each metric, and for no other."""
    page = (DEPLOY.parent / "docs" / "operations.md").read_text()
    table = [line for line in page.splitlines() if line.startswith("| `reckon_") and line.count("|") == 5]
    assert table == [row.line for row in metric_rows()]
    assert names_in(page) - NAMES == set()
