"""Run beside a copy of the application to whose registries parts were added: prints what it answers."""

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
        skipping = skipping_answers(api)
    return {
        "setting": document["reversal"],
        "skipping": {"setting": document["skipped"]} | skipping,
        "names": document["sources"]["anyOf"][0]["items"]["enum"],
        "plain": {item["item_id"]: item["sources"] for item in plain},
        "refused": [refused.status_code, refused.json()["field"]],
        "stored": [stored.status_code, stored.json()["settings"]["reversal"]],
        "explained": [[item["sources"], [move["rule"] for move in item["reasons"]["rules"]]] for item in explained],
        "tags": tags,
    }


def skipping_answers(api: TestClient) -> dict[str, Any]:
    """Lists of one placement, and their entity tags, under several values of the restriction's setting."""
    path, lists, tags, unchanged = "/users/user-0/recommendations", [], [], []
    for skipped in (0, 20, 40):
        api.put("/placements/skipping", json={"skipped": skipped}).raise_for_status()
        shown = api.get(f"{path}?placement=skipping&limit=10")
        lists.append([item["item_id"] for item in shown.json()["items"]])
        tags.append(shown.headers["etag"])
        again = [api.get(shown.request.url, headers={"If-None-Match": tag}) for tag in tags]
        unchanged.append([answer.status_code == 304 for answer in again])
    refused = api.put("/placements/skipping", json={"skipped": -1})
    lost = sorted({*lists[0]} - {*lists[-1]})
    why = [api.get(f"{path}/explain/{item_id}?placement=skipping&limit=10").json() for item_id in lost]
    return {
        "lists": lists,
        "unchanged": unchanged,
        "refused": [refused.status_code, refused.json().get("field")],
        "why": [[answer["stage"], answer["rule"]] for answer in why],
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
