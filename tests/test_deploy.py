"""What the files of `deploy/` say of the service is so.

`make promtool` and `make kubernetes` check their syntax and their behaviour.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.testclient import TestClient

from app.main import create_app
from app.settings import Settings
from app.store import migrate
from tests.support.deploy_files import ALERT_CASES, DEPLOY, alert_rules, dashboard_queries
from tests.support.metric_names import consumer_metric_rows, metric_rows, names_in

MANIFESTS: list[dict[str, Any]] = [*yaml.safe_load_all((DEPLOY / "kubernetes" / "reckon.yaml").read_text())]
PODS = {each["metadata"]["name"]: each["spec"]["template"]["spec"] for each in MANIFESTS if "template" in each["spec"]}
SETTINGS = {f"RECKON_{name.upper()}" for name in Settings.model_fields}

NAMES = {row.name for row in metric_rows()}
NAMES_OF_CONSUMERS = {row.name for row in consumer_metric_rows()}


def test_alerts_name_metrics() -> None:
    for rule in alert_rules():
        for text in (rule["expr"], rule["annotations"]["action"]):
            assert names_in(text) <= NAMES | NAMES_OF_CONSUMERS, rule["alert"]


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


def test_metrics_of_consumers_are_documented() -> None:
    """In `docs/scaling.md`: names, kinds and labels."""
    page = (DEPLOY.parent / "docs" / "scaling.md").read_text()
    cells = [line.strip().split(" | ") for line in page.splitlines() if line.strip().startswith("| `reckon_kafka_")]
    found = {(name.strip("| `"), kind, labels.strip()) for name, kind, labels, _ in cells}
    documented = {(row.name, row.kind, ", ".join(f"`{each}`" for each in row.labels)) for row in consumer_metric_rows()}
    assert found == documented


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_pod_is_confined(pod: dict[str, Any]) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert (pod["securityContext"]["runAsNonRoot"], pod["securityContext"]["runAsUser"]) == (True, 10001)
    for container in pod["containers"]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert container["resources"]["limits"]["memory"]
        # The root is read-only: these are where the service writes.
        assert {each["mountPath"] for each in container["volumeMounts"]} == {"/data", "/tmp"}  # noqa: S108


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS)
def test_environment_of_pod(pod: dict[str, Any]) -> None:
    for container in pod["containers"]:
        names = {each["name"] for each in container["env"]}
        assert {name for name in names if name.startswith("RECKON_")} <= SETTINGS
        assert container["envFrom"] == [{"secretRef": {"name": "reckon"}}]
        # Credentials stand in the secret alone.
        assert not {name for name in names if "DATABASE_URL" in name or "SECRET" in name or "ACCESS_KEY" in name}


def test_probes_of_pod(tmp_path: Path) -> None:
    (api,) = PODS["reckon-api"]["containers"]
    probed = {api[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "liveness", "readiness")}
    migrate("", tmp_path)
    with TestClient(create_app(Settings(data_dir=tmp_path)), base_url="http://10.0.0.1:8000") as client:
        assert {client.get(path).status_code for path in probed} == {200}


def test_pod_is_given_time_to_drain() -> None:
    least = Settings.model_fields["drain_seconds"].default + 30  # requests in progress
    assert PODS["reckon-api"]["terminationGracePeriodSeconds"] >= least


def test_labels_select_the_pods() -> None:
    by_name = {(each["kind"], each["metadata"]["name"]): each for each in MANIFESTS}
    deployment = by_name["Deployment", "reckon-api"]
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    selectors = [
        deployment["spec"]["selector"]["matchLabels"],
        by_name["Service", "reckon"]["spec"]["selector"],
        by_name["PodDisruptionBudget", "reckon-api"]["spec"]["selector"]["matchLabels"],
    ]
    others = by_name["Deployment", "reckon-worker"]["spec"]["template"]["metadata"]["labels"].items()
    for selector in selectors:
        assert selector.items() <= labels
        assert not selector.items() <= others
