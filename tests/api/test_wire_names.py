"""The names that callers depend on: a release adds names and never removes or renames one.

`wire_names.json` holds the names of the OpenAPI document. After adding one, add it there, too.
"""

import json
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

FROZEN: dict[str, Any] = json.loads((Path(__file__).parent / "wire_names.json").read_text())


def test_names_stay(client: TestClient) -> None:
    assert list(missing(FROZEN, names_of(client.get("/openapi.json").json()))) == []


def names_of(document: dict[str, Any]) -> dict[str, Any]:
    """Operations with their parameters and statuses, and components with their properties."""
    return {
        "operations": {
            f"{method.upper()} {path}": {
                "parameters": [f"{each['in']} {each['name']}" for each in operation.get("parameters", [])],
                "statuses": list(operation["responses"]),
            }
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        },
        "components": {
            name: list(schema.get("properties", {})) for name, schema in document["components"]["schemas"].items()
        },
    }


def missing(frozen: Any, current: Any, where: str = "") -> list[str]:
    """What is in `frozen` and not in `current`, as paths of names."""
    gone = [f"{where}/{name}" for name in frozen if name not in current]
    if isinstance(frozen, dict):
        common = [name for name in frozen if name in current]
        gone += [path for name in common for path in missing(frozen[name], current[name], f"{where}/{name}")]
    return gone
