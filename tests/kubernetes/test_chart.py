"""The Helm chart, rendered by the engine of Helm and checked against the schemas of Kubernetes."""

from typing import Any

import kubernetes_validate
import pytest
from helm_python import lint

from tests.kubernetes.chart import CHART, MANIFEST, documents, manifest

VERSIONS = ("1.29", "1.31", "1.34")
VALUES: dict[str, dict[str, Any]] = {
    "default": {},
    "all": {
        "api": {"allowedHosts": "r.example.com", "processes": 4},
        "autoscaling": {"targetCpuPercent": 70},
        "ingress": {"host": "r.example.com", "className": "nginx", "tlsSecret": "tls"},
        "kafka": {"servers": "kafka:9092", "consumers": 2},
        "settings": {"RECKON_TRAIN_AFTER_PERCENT": 10, "AWS_ENDPOINT_URL": "https://s3.example.com"},
    },
}


def test_lint() -> None:
    found = lint(str(CHART))
    assert found["errors"] == []
    assert {each["error"] for each in found["messages"]} <= {"icon is recommended"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_schemas(values: dict[str, Any], version: str) -> None:
    for document in documents(values):
        kubernetes_validate.validate(document, version, strict=True)


def test_schemas_refuse() -> None:
    """A field that does not exist, so that the test above can fail."""
    deployment = next(each for each in documents() if each["kind"] == "Deployment")
    deployment["spec"]["replica"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, VERSIONS[0], strict=True)


def test_values_arrive() -> None:
    by_kind = {each["kind"]: each for each in documents(VALUES["all"])}
    assert "replicas" not in next(
        each["spec"] for each in documents(VALUES["all"]) if each["metadata"]["name"] == "reckon-api"
    )
    assert by_kind["HorizontalPodAutoscaler"]["spec"]["minReplicas"] == 3
    by_name = {each["metadata"]["name"]: each for each in documents(VALUES["all"])}
    assert by_name["reckon-consumer"]["spec"]["replicas"] == 2
    assert "reckon-consumer" not in {each["metadata"]["name"] for each in documents()}
    assert by_kind["Ingress"]["spec"]["rules"][0]["host"] == "r.example.com"
    assert not {"HorizontalPodAutoscaler", "Ingress"} & {each["kind"] for each in documents()}


def test_manifest_is_current() -> None:
    assert MANIFEST.read_text() == manifest(), "run `make manifests`"
