"""The manifests of the Helm chart. As a program: writes those of its default values to a file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from helm_python import Chart

from tests.support.deploy_files import DEPLOY

CHART = DEPLOY / "helm" / "reckon"
MANIFEST = DEPLOY / "kubernetes" / "reckon.yaml"
HEADER = "# The Helm chart `deploy/helm/reckon` with its default values, written by `make manifests`.\n"


def rendered(values: Mapping[str, Any] = {}) -> dict[str, str]:
    """Template -> its manifests."""
    with Chart.load(str(CHART)) as chart:
        return dict(sorted(chart.render(dict(values), name="reckon", namespace="reckon").items()))


def documents(values: Mapping[str, Any] = {}) -> list[dict[str, Any]]:
    return [each for text in rendered(values).values() for each in yaml.safe_load_all(text) if each]


def manifest() -> str:
    """All manifests in one file. The hooks of Helm mean nothing there, so the migration comes first."""
    return HEADER + "---\n".join(text.strip() + "\n" for text in rendered().values() if text.strip())


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(manifest())
