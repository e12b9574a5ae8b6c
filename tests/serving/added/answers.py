"""Run beside a copy of the application to whose registries a source and a rule were added: prints what it answers."""

import asyncio
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient

from app.main import create_app
from app.serving.query import NO_OPTIONS
from app.serving.request_state import RequestState
from app.settings import Settings
from app.wiring import Service

MINUTE = 60_000_000


def answers(data_dir: Path) -> dict[str, Any]:
    settings = Settings(data_dir=data_dir)
    with TestClient(create_app(settings)) as api:
        document = api.get("/openapi.json").json()["components"]["schemas"]["Placement"]["properties"]
        plain = api.get("/users/user-0/recommendations?limit=100").json()["items"]
        refused = api.put("/placements/home", json={"reversal": 2})
        tags = [tag_changes(settings)]
        stored = api.put("/placements/home", json={"reversal": 1, "sources": ["last_rows", "nearest"]})
        tags.append(tag_changes(settings))
        explained = api.get("/users/user-0/recommendations?limit=5&explain=true").json()["items"]
    return {
        "setting": document["reversal"],
        "names": document["sources"]["anyOf"][0]["items"]["enum"],
        "plain": {item["item_id"]: item["sources"] for item in plain},
        "refused": [refused.status_code, refused.json()["field"]],
        "stored": [stored.status_code, stored.json()["settings"]["reversal"]],
        "explained": [[item["sources"], [move["rule"] for move in item["reasons"]["rules"]]] for item in explained],
        "tags": tags,
    }


def tag_changes(settings: Settings) -> list[bool]:
    """Whether the entity tag of a list changes with the time, and with the trends."""
    service = Service.build(settings)
    state = asyncio.run(service.request_states.read("user-0"))
    service.store.close()
    trends = replace(state, serving=replace(state.serving, trends_digest=b"other"))
    return [tag(other) != tag(state) for other in (replace(state, now=state.now + MINUTE), trends)]


def tag(state: RequestState) -> str:
    return state.entity_tag(b"", NO_OPTIONS)


if __name__ == "__main__":
    json.dump(answers(Path(sys.argv[1])), sys.stdout)
