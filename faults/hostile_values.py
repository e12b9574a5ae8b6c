"""Every place of the API that takes a value gets every named value: a documented answer, and no bad row afterwards."""

import json
import math
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from app.api.examples import Schema, resolved
from app.store import Store
from app.store.schema import metadata
from app.store.trends import NEW
from faults.api_processes import Connections, Reply, api_processes
from faults.named_values import Value, named_values
from faults.trial import Figure, Trial
from tests.support.trained import RATED_LIGHTLY, fill, train

HERE = "the hostile value"
N_VALUES = 200
OF_THE_ADDRESS = {404, 405, 414}
"""Where an address leads to no operation or is too long, the answer is not documented with one."""


@dataclass(frozen=True, slots=True)
class Place:
    """One place of one operation.

    `where`: path, query or body. `body`: with `HERE` in the place. `statuses`: the documented ones.
    """

    method: str
    path: str
    where: str
    name: str
    statuses: frozenset[int]
    given: Mapping[str, str] = field(default_factory=dict)
    body: Any = None

    def request(self, value: Value) -> tuple[str, bytes | None]:
        path = self.path
        for name, given in self.given.items():
            raw = value.text if self.where == "path" and name == self.name else given.encode()
            path = path.replace(f"{{{name}}}", quote_from_bytes(raw, safe=""))
        if self.where == "query":
            path += "?" + urlencode({self.name: value.text})
        if self.body is None:
            return path, None
        return path, json.dumps(self.body).encode().replace(json.dumps(HERE).encode(), value.json)


def run(trial: Trial) -> Iterator[Figure]:
    values = named_values()
    if len({value.name for value in values}) < N_VALUES:
        raise ValueError(f"{len(values)} named values are too few")
    for kind in ["sqlite"] if trial.size == "test" else ["sqlite", "postgres"]:
        with api_processes(trial, kind, 1) as processes, processes.store() as store:
            fill(store)
            if trial.size != "test":
                train(store, processes.instance.data_dir, recipe=RATED_LIGHTLY)
            with processes.connections() as connections:
                document = connections.send(0, "GET", "/openapi.json")
                places = list(places_of(json.loads(document.body))) if document is not None else []
                pairs = _pairs(trial, places, values)
                answers, faults = _send_all(connections, pairs)
            bad = bad_values(store)
        seen = f"{len(faults)} of {len(pairs)} on {kind}: {len(values)} values, {len(places)} places, {dict(answers)}"
        is_reached = not faults and bool(pairs)
        yield Figure("hostile values without a documented answer", "0", "; ".join([seen, *faults[:5]]), is_reached)
        yield Figure("bad values stored", "0", "; ".join([f"{len(bad)} on {kind}", *bad[:3]]), not bad)


def _pairs(trial: Trial, places: list[Place], values: list[Value]) -> list[tuple[Place, Value]]:
    """All pairs in a long run; else each value and each place several times."""
    if trial.size == "long":
        pairs = [(place, value) for place in places for value in values]
        trial.choose.shuffle(pairs)
        return [pair for pair in pairs if _is_meant(*pair)]
    n_pairs = trial.times(test=len(values), short=12 * len(values), long=0)
    first, second = trial.choose.sample(values, len(values)), trial.choose.sample(places, len(places))
    pairs = [(second[number % len(second)], first[number % len(first)]) for number in range(n_pairs)]
    return [pair for pair in pairs if _is_meant(*pair)]


def _is_meant(place: Place, value: Value) -> bool:
    """An address without a segment is that of another operation."""
    return place.where != "path" or bool(value.text)


def _send_all(connections: Connections, pairs: list[tuple[Place, Value]]) -> tuple[Counter[int], list[str]]:
    answers: Counter[int] = Counter()
    faults = []
    for place, value in pairs:
        path, body = place.request(value)
        reply = connections.send(0, place.method, path, body)
        answers[0 if reply is None else reply.status] += 1
        if (fault := _fault(place, reply)) is not None:
            faults.append(f"{place.method} {place.path} {place.where} {place.name} = {value.name}: {fault}")
    return answers, faults


def _fault(place: Place, reply: Reply | None) -> str | None:
    if reply is None:
        return "no answer"
    allowed = place.statuses if place.where == "body" else place.statuses | OF_THE_ADDRESS
    if reply.status not in allowed:
        return f"{reply.status} {reply.body[:200]!r}"
    if reply.status >= 400 and reply.headers.get("content-type") != "application/problem+json":
        return f"{reply.status} as {reply.headers.get('content-type')}"
    if reply.body and "json" in reply.headers.get("content-type", ""):
        json.loads(reply.body, parse_constant=_refuse)
    return None


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def places_of(document: Schema) -> Iterator[Place]:
    """All parameters of paths and queries, all fields of bodies, an unknown field, and bodies as a whole."""
    components = document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            statuses = frozenset(map(int, operation["responses"]))
            parameters = operation.get("parameters", ())
            given = {each["name"]: str(each["example"]) for each in parameters if each["in"] == "path"}
            contents = list(operation.get("requestBody", {}).get("content", {}).values())
            example: Any = contents[0]["example"] if contents else None

            def place(where: str, name: str, body: Any) -> Place:
                return Place(method.upper(), path, where, name, statuses, given, body)  # noqa: B023  used at once

            for each in parameters:
                if each["in"] in {"path", "query"}:
                    yield place(each["in"], each["name"], example)
            yield place("query", "unknown", example)
            if contents:
                yield place("body", "whole", HERE)
                yield place("body", "unknown", {**example, "unknown": HERE})
                for name, schema in resolved(contents[0]["schema"], components)["properties"].items():
                    inner = example.get(name, schema.get("examples", [None])[0])
                    for trail, replaced in _within(name, inner):
                        yield place("body", trail, {**example, name: replaced})


def _within(trail: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Each place in a JSON value, and the value with `HERE` in it."""
    yield trail, HERE
    if isinstance(value, dict):
        yield f"{trail}.?", {**value, HERE: 1}
        for name, inner in value.items():
            yield from ((place, {**value, name: replaced}) for place, replaced in _within(f"{trail}.{name}", inner))
    elif isinstance(value, list) and value:
        yield from ((place, [replaced, *value[1:]]) for place, replaced in _within(f"{trail}.0", value[0]))


def bad_values(store: Store) -> list[str]:
    """Stored values that no request may leave: not finite, off the scale, no valid id, not in Unicode normal form C."""
    bad = []
    scale = store.instance.scale()
    with store.database.reading() as connection:
        for table in metadata.sorted_tables:
            for row in connection.execute(table.select()).mappings():
                for name, value in row.items():
                    if name == "country" and table.name == "trends" and value is not None:
                        value = value.removeprefix(NEW)  # noqa: PLW2901  ours, not of a request
                    is_id = name.endswith("_id")
                    if not _is_sound(value, is_id=is_id):
                        bad.append(f"{table.name}.{name} {value!r:.80}")
                if table.name == "ratings" and not scale.minimum <= (row["value"] or scale.minimum) <= scale.maximum:
                    bad.append(f"rating {row['value']}")
    return bad


def _is_sound(value: Any, *, is_id: bool = False) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, Mapping):
        return all(_is_sound(each) for pair in value.items() for each in pair)
    if isinstance(value, list | tuple):
        return all(map(_is_sound, value))
    if not isinstance(value, str):
        return True
    if is_id and not (1 <= len(value) <= 128 and value == value.strip() and "/" not in value):
        return False
    controls = {each for each in value if ord(each) < 0x20 or 0xD800 <= ord(each) < 0xE000} - set("\t\n\r")
    return not controls and value == unicodedata.normalize("NFC", value)
