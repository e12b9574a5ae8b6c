"""The two kinds of routes, on an application of their own."""

from typing import Annotated

import fastapi
import pytest
from fastapi import APIRouter, FastAPI, Query, Request, Response
from fastapi.testclient import TestClient
from pydantic import BaseModel, ConfigDict

from app.api import problems
from app.api.access import OPEN
from app.api.idempotency import writes_nothing
from app.api.query_string import described, parameters
from app.api.routing import AnswerRoute, DirectRoute, StrictRoute
from app.errors import StorageUnavailableError
from app.intake.value_types import Id


class Options(BaseModel):
    model_config = ConfigDict(extra="forbid")
    limit: int = 20


strict, direct = APIRouter(route_class=StrictRoute), APIRouter(prefix="/direct", route_class=DirectRoute)


@strict.get("/of/{name}", openapi_extra=OPEN)
async def get_strict(name: Id, limit: Annotated[int, Query()] = 20) -> Response:
    return Response(f"{name} {limit}")


@strict.get("/plain", openapi_extra=OPEN)
async def get_plain() -> Response:
    return Response("plain")


@direct.get("/of/{name}", openapi_extra=described(Options) | OPEN)
async def get_direct(name: Id, request: Request) -> Response:
    return Response(f"{name} {parameters(request, Options).limit}")


failures: list[Exception] = []
answering = APIRouter(route_class=AnswerRoute)


@answering.post("/answer", openapi_extra=OPEN)
@writes_nothing
async def post_answer(options: Options) -> Response:
    if failures:
        raise failures.pop()
    return Response(f"{options.limit}")


@pytest.fixture
def routes() -> TestClient:
    app = FastAPI()
    problems.install(app)
    app.include_router(strict)
    app.include_router(direct)
    app.include_router(answering)
    return TestClient(app)


def test_body_of_the_second_attempt(routes: TestClient) -> None:
    """It cannot be received again where the database fails in the first one."""
    failures.append(StorageUnavailableError("gone"))
    assert routes.post("/answer", json={"limit": 7}).text == "7"
    assert failures == []


def test_version_of_the_framework() -> None:
    """`DirectRoute` replaces FastAPI's call of a handler: test and measure a new version, then name it here."""
    assert fastapi.__version__ == "0.165.0"


@pytest.mark.parametrize("path", ["/of/ann", "/of/ann?limit=5", "/of/a%CC%8A", "/of/%20x", "/of/x?limit=many"])
def test_direct_answers_alike(routes: TestClient, path: str) -> None:
    by_framework, by_us = routes.get(path), routes.get(f"/direct{path}")
    assert (by_us.status_code, by_us.headers) == (by_framework.status_code, by_framework.headers)
    assert by_us.text == by_framework.text


@pytest.mark.parametrize(
    ("path", "takes"), [("/of/x?limt=1", "takes limit"), ("/direct/of/x?limt=1", "takes limit"), ("/plain?a", "none")]
)
def test_unknown_parameter(routes: TestClient, path: str, takes: str) -> None:
    problem = routes.get(path).json()
    assert (problem["status"], problem["field"]) == (422, f"query.{path.partition('?')[2].partition('=')[0]}")
    assert takes in problem["detail"]


def test_several_applications(routes: TestClient) -> None:
    """The same routers on another application: nothing of the first is left in them."""
    other = FastAPI()
    other.include_router(strict, prefix="/other")
    assert TestClient(other).get("/other/of/ann").text == routes.get("/of/ann").text
