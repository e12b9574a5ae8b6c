"""Prometheus reads the alert rules and every query of the dashboard, and the alerts fire in their cases."""

import subprocess
from pathlib import Path

import yaml

from tests.support.deploy_files import ALERT_CASES, ALERTS, dashboard_queries


def promtool(*arguments: str | Path) -> str:
    run = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)  # noqa: S607
    output = run.stdout + run.stderr
    assert run.returncode == 0, output
    return output


def test_alerts_are_valid() -> None:
    assert "SUCCESS" in promtool("check", "rules", ALERTS)


def test_alerts_fire() -> None:
    promtool("test", "rules", ALERT_CASES)


def test_dashboard_queries_parse(tmp_path: Path) -> None:
    rules = [{"record": f"query:{number}", "expr": query} for number, query in enumerate(dashboard_queries().values())]
    path = tmp_path / "queries.yaml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    assert f"SUCCESS: {len(rules)} rules" in promtool("check", "rules", path)
