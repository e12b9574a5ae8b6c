"""The container files: no container runtime is needed, so only what they declare is checked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
SERVICES: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
STAGES = re.split(r"^FROM ", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE)[1:]


@pytest.mark.parametrize("name", [name for name in SERVICES if name != "postgres"])
def test_service_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["tmpfs"] == "/tmp"  # noqa: S108  of the container
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["pids_limit"] > 0


def test_ports_of_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


@pytest.mark.parametrize("target", ["api", "worker"])
def test_image_runs_without_root(target: str) -> None:
    stage = next(stage for stage in STAGES if stage.splitlines()[0].endswith(f" AS {target}"))
    assert "\nUSER 10001\n" in stage
    assert "\nHEALTHCHECK " in stage
    assert "USER root" not in stage
