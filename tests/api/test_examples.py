"""Every operation, parameter, body and error of the OpenAPI document has an example, and each example is true.

Operations are found in the document, so one that is added is tried too. It needs examples that exist in the data of the
demo: those of `app/api/examples.py` by name, or its own where it is declared.
"""

import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
from fastapi.testclient import TestClient

from app.api import error_examples
from app.api.error_examples import Faulty
from app.api.examples import NOT_FILLED_IN
from app.api.problems import EXAMPLE_REQUEST_ID, MEDIA_TYPE, Problem
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from tests.support.demo_data import fill
from tests.support.keys import bearer, made_key
from tests.support.trained import train

RECIPE = {
    "segments": [
        {"name": "rating", "algorithm": "funk_svd"},
        {"name": "taste", "algorithm": "als_implicit"},
        {"name": "popularity", "algorithm": "popularity"},
    ]
}
ADVICE = "add it where the field is declared (`examples=[...]`) or to BY_NAME in app/api/examples.py"

KEY, OWN = made_key("admin")

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder as of `reckon demo` without network, with fewer ratings."""
    folder = tmp_path_factory.mktemp("demo")
    migrate("", folder)
    store = Store.open("", folder)
    fill(store)
    train(store, folder, recipe=RECIPE)
    # To call operations with, and to revoke: the demo has no keys, and the first one is not made over the API.
    store.api_keys.add(OWN)
    store.api_keys.add(replace(made_key("training")[1], key_id="4f1d09c2ab77"))
    # To cancel: the demo has no job that waits.
    store.jobs.enqueue("request", seed=1)
    # To restore: the demo has no placement that was changed.
    store.placements.put("home", {"diversity": 0.3})
    store.close()
    return folder


@pytest.fixture
def api(demo: Path, tmp_path: Path) -> Iterator[TestClient]:
    """The service on a copy of the demo's data."""
    shutil.copytree(demo, tmp_path / "demo")
    app = create_app(Settings(data_dir=tmp_path / "demo"))
    with TestClient(app, raise_server_exceptions=False, headers=bearer(KEY)) as opened:
        yield opened


def operations(document: Schema) -> dict[tuple[str, str], Schema]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def prefilled(operation: Schema) -> tuple[dict[str, str], dict[str, list[str]], Any]:
    """Path, query and body as Swagger UI fills them in."""
    values = [(each["in"], each["name"], each.get("example")) for each in operation.get("parameters", ())]
    path = {name: as_text(value) for place, name, value in values if place == "path"}
    query = {
        name: [as_text(each) for each in (value if isinstance(value, list) else [value])]
        for place, name, value in values
        if place == "query" and value is not None
    }
    bodies = [each["example"] for each in operation.get("requestBody", {}).get("content", {}).values()]
    return path, query, bodies[0] if bodies else None


def as_text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def url(path: str, values: dict[str, str]) -> str:
    return path.format_map({name: quote(value, safe="") for name, value in values.items()})


@pytest.mark.parametrize("order", [1, -1], ids=["as listed", "reversed"])
def test_prefilled_operations_succeed(api: TestClient, order: int) -> None:
    document = api.get("/openapi.json").json()
    failed = {}
    for (method, path), operation in list(operations(document).items())[::order]:
        values, query, body = prefilled(operation)
        content_type = next(iter(operation.get("requestBody", {}).get("content", {})), None)
        answer = api.request(
            method,
            url(path, values),
            params=query,
            json=body,
            headers={} if content_type is None else {"content-type": content_type},
        )
        if not answer.is_success or rejected_rows(answer):
            failed[f"{method} {path}"] = (answer.status_code, answer.text[:300])
    assert failed == {}, "as filled in by /docs these fail: their examples must exist in the demo's data"


def rejected_rows(answer: httpx2.Response) -> list[Any]:
    """Rows of a batch that were not accepted, though the batch was."""
    is_json = answer.content and "json" in answer.headers["content-type"]
    return [row for row in (answer.json() if is_json else {}).get("results", ()) if row.get("status") == "rejected"]


def test_examples_everywhere(api: TestClient) -> None:
    document = api.get("/openapi.json").json()
    missing = []
    for (method, path), operation in operations(document).items():
        where = f"{method} {path}"
        parameters = {each["name"] for each in operation.get("parameters", ()) if "example" not in each}
        missing += [f"{where}: {each}" for each in parameters - NOT_FILLED_IN]
        contents = operation.get("requestBody", {}).get("content", {}).values()
        missing += [f"{where}: the body" for each in contents if "example" not in each]
    for name, schema in document["components"]["schemas"].items():
        fields = schema.get("properties", {}).items()
        bare = {field for field, each in fields if "examples" not in each and "$ref" not in str(each)}
        missing += [f"{name}.{field}" for field in bare - NOT_FILLED_IN]
    assert missing == [], f"without an example: {ADVICE}"


def test_deleted_ids_are_of_no_other_example(api: TestClient) -> None:
    """Otherwise others would fail afterwards, whatever the order."""
    document = api.get("/openapi.json").json()
    deleted: set[tuple[str, str]] = set()
    needed: set[tuple[str, str]] = set()
    for (method, _), operation in operations(document).items():
        ids = {name: value for name, value in prefilled(operation)[0].items() if name in {"user_id", "item_id"}}
        (deleted if method == "DELETE" else needed).update(ids.items())
    assert deleted
    assert deleted & needed == set()


def test_error_examples_have_the_form(api: TestClient) -> None:
    for (method, path), operation in operations(api.get("/openapi.json").json()).items():
        for status, response in operation["responses"].items():
            if int(status) < 400:
                continue
            examples = response["content"][MEDIA_TYPE]["examples"]
            assert examples, f"{method} {path} {status}"
            for example in examples.values():
                problem = Problem.model_validate(example["value"])
                assert (problem.status, problem.request_id) == (int(status), EXAMPLE_REQUEST_ID)
                assert example["summary"]
                assert problem.detail


def test_error_examples_are_real(api: TestClient) -> None:
    """A request with the fault of the example, such as a missing field or an unknown id, gets the documented answer."""
    document = api.get("/openapi.json").json()
    wrong, n_compared = {}, 0
    for (method, path), operation in operations(document).items():
        for status in {"400", "404", "413", "422"} & operation["responses"].keys():
            fault = error_examples.faulty(operation, int(status), document["components"]["schemas"])
            (documented,) = operation["responses"][status]["content"][MEDIA_TYPE]["examples"].values()
            if documented["summary"] != fault.cause:
                continue  # declared with the operation, see `test_declared_error_examples`
            n_compared += 1
            given = send_faulty(api, method, path, operation, fault)
            if given != documented["value"]:
                wrong[f"{method} {path} {status}"] = (given, documented["value"])
    assert wrong == {}, "answers and their examples differ: declare them, `responses(..., errors={cause: error})`"
    assert n_compared > 60


def send_faulty(api: TestClient, method: str, path: str, operation: Schema, fault: Faulty) -> Any:
    """The problem document without its own request id."""
    values, _, body = prefilled(operation)
    content_types = operation.get("requestBody", {}).get("content", {})
    content = json.dumps(body if fault.body is None else fault.body).encode() if content_types else None
    answer = api.request(
        method,
        url(path, {**values, **fault.path}),
        params=dict(fault.query),
        content=fault.content or content,
        headers={"content-type": next(iter(content_types))} if content_types else {},
    )
    return {**answer.json(), "request_id": EXAMPLE_REQUEST_ID} if answer.content else answer.status_code


def test_declared_error_examples(api: TestClient) -> None:
    """Errors that depend on what is stored: the requests are written here."""
    documented = operations(api.get("/openapi.json").json())
    click = {"event_id": "e-2", "type": "clicked", "user_id": "1", "item_id": "1"}
    assert api.post("/events", json={"events": [click]}).json()["stored"] == 1
    api.delete("/placements/home")
    for method, path, sent in (
        ("DELETE", "/event-types/{name}", "/event-types/clicked"),
        ("GET", "/charts/{chart}", "/charts/best"),
        ("POST", "/users/{user_id}/merge/{guest_id}", "/users/1/merge/no-such-user"),
        ("POST", "/placements/{name}/versions/{number}/restore", "/placements/home/versions/2/restore"),
    ):
        answer = api.request(method, sent)
        example = documented[method, path]["responses"][str(answer.status_code)]["content"][MEDIA_TYPE]["examples"]
        values = [each["value"] for each in example.values()]
        assert answer.json() | {"request_id": EXAMPLE_REQUEST_ID} in values


def test_ids_in_bodies_exist(api: TestClient) -> None:
    """Lists ignore unknown ids, so their status would not tell."""
    for (method, path), operation in operations(api.get("/openapi.json").json()).items():
        body = str(prefilled(operation)[2])
        users = re.findall(r"'user_id': '([^']+)'", body) + re.findall(r"'user_ids': \['([^']+)'", body)
        items = re.findall(r"'item_id': '([^']+)'", body) + re.findall(r"'item_ids': \['([^']+)'", body)
        for one in [f"/users/{each}" for each in users] + [f"/items/{each}" for each in items]:
            assert api.get(one).status_code == 200, f"{method} {path}: {one}"


def test_latest_training_job(api: TestClient, client: TestClient) -> None:
    queued = api.post("/training-jobs", json={"seed": 7}).json()
    assert api.get("/training-jobs/latest").json()["job_id"] == queued["job_id"]
    assert client.get("/training-jobs/latest").status_code == 404
