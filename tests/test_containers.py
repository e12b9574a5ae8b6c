"""The container files: no container runtime is needed, so only what they declare is checked."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.settings import Settings

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


def test_settings_of_services() -> None:
    names = {f"RECKON_{name.upper()}" for name in Settings.model_fields}
    for name, service in SERVICES.items():
        if name != "postgres":
            assert service["environment"].keys() <= names
            assert (
                service["environment"]["RECKON_DATABASE_URL"] == SERVICES["api"]["environment"]["RECKON_DATABASE_URL"]
            )


def test_consumer() -> None:
    """It starts where it is asked for, as no other service is, and its image holds the client of Kafka."""
    assert {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service} == {
        "consumer": ["kafka"]
    }
    consumer = SERVICES["consumer"]
    assert consumer["command"] == ["consume"]
    assert consumer["build"]["target"] == "worker"
    assert "\nconfluent-kafka==" in (ROOT / "requirements.txt").read_text()
    assert {each for each in consumer["environment"] if "KAFKA" in each} == {
        f"RECKON_{name.upper()}" for name in Settings.model_fields if "kafka" in name
    }
    # Compose reads all of the file whatever is started: a value that must be set would keep the others from starting.
    assert all(each is None for name, each in consumer["environment"].items() if "KAFKA" in name)
    assert consumer["depends_on"] == SERVICES["worker"]["depends_on"]
