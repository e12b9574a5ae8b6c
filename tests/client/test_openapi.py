"""The client against the OpenAPI document: the same operations, parameters, and fields of answers, and no other.

Names that the service declares (sources, item fields, charts, states) are compared too: a source that the client does
not type fails `test_parameter_types`.
"""

import inspect
import types
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

import pytest
from fastapi.testclient import TestClient
from pydantic import BaseModel

import app.client
from app.api.recipients import GuestRating, PastEvent
from app.api.schemas.items import ItemRowIn
from app.api.schemas.lists import PairIn
from app.api.schemas.users import UserRowIn
from app.client.call import Operation, signature_of
from app.client.errors import BY_STATUS
from app.client.fake import Answers, Memory
from app.client.operations import Operations
from app.client.operations.recommendations import ItemField
from app.intake.received import EventIn, RatingIn
from app.main import create_app
from app.serving.item_details import ANSWER_FIELDS, COLUMNS
from app.settings import Settings
from app.store import migrate

NOT_FOR_CALLERS = {("GET", "/metrics")}
KEYS = {"Idempotency-Key"}
HEADERS = {"If-Match": "if_version"}
"""Header -> the parameter of the client that it is made of."""

OPERATIONS: dict[str, Operation[..., Any]] = {
    name: each for name in dir(Operations) if isinstance(each := getattr(Operations, name), Operation)
}

ONE_FORMAT = {("GET", "/imports/{import_id}/rejected-rows"): {"format"}}
"""Parameters that a client has no use for: it reads JSON alone."""

Schema = dict[str, Any]


class Document:
    """An OpenAPI document whose references are followed."""

    def __init__(self, content: Schema) -> None:
        self.content = content

    def operations(self) -> Iterator[tuple[tuple[str, str], Schema]]:
        for path, operations in self.content["paths"].items():
            for method, operation in operations.items():
                if (method.upper(), path) not in NOT_FOR_CALLERS:
                    yield (method.upper(), path), operation

    def operation(self, operation: Operation[..., Any]) -> Schema:
        schema: Schema = self.content["paths"][operation.route.path][operation.route.method.lower()]
        return schema

    def alternatives(self, schema: Schema) -> list[Schema]:
        """The schemas of which a value follows one, without null."""
        if "$ref" in schema:
            return self.alternatives(self.content["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        if "anyOf" in schema or "oneOf" in schema:
            branches = schema.get("anyOf", []) + schema.get("oneOf", [])
            return [each for branch in branches for each in self.alternatives(branch)]
        return [] if schema.get("type") == "null" else [schema]

    def may_be_null(self, schema: Schema) -> bool:
        return any(branch.get("type") == "null" for branch in schema.get("anyOf", []))

    def properties(self, schema: Schema) -> dict[str, Schema]:
        return {name: each for one in self.alternatives(schema) for name, each in one.get("properties", {}).items()}

    def body(self, operation: Operation[..., Any]) -> Schema:
        body: Schema = self.operation(operation).get("requestBody", {})
        return body.get("content", {}).get("application/json", {}).get("schema", {})  # type: ignore[no-any-return]

    def parameters(self, operation: Operation[..., Any]) -> tuple[Schema, set[str]]:
        """The schemas of all parameters by name, and the names of the required ones; in path, query or body."""
        given = self.operation(operation).get("parameters", [])
        parameters = [
            each | {"name": HEADERS.get(each["name"], each["name"])} for each in given if each["name"] not in KEYS
        ]
        body = self.body(operation)
        bodies = self.alternatives(body) if body else []
        unused = ONE_FORMAT.get((operation.route.method, operation.route.path), set())
        parameters = [each for each in parameters if each["name"] not in unused]
        schemas = {each["name"]: each["schema"] for each in parameters} | self.properties(body)
        required = {each["name"] for each in parameters if each["required"]}
        return schemas, required.union(*(each.get("required", []) for each in bodies))

    def names(self, schema: Schema) -> set[str]:
        """The values of an enumeration, wherever it stands in a schema."""
        alternatives = self.alternatives(schema)
        inner = [each["items"] for each in alternatives if "items" in each]
        inner += [each for one in alternatives for each in one.get("properties", {}).values()]
        own = {name for each in alternatives for name in each.get("enum", [each["const"]] if "const" in each else [])}
        return own.union(*(self.names(each) for each in inner))

    def answers(self, operation: Operation[..., Any]) -> Iterator[Schema]:
        for status, response in self.operation(operation)["responses"].items():
            if status.startswith("2") and "content" in response:
                yield response["content"]["application/json"]["schema"]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    folder = tmp_path_factory.mktemp("openapi")
    migrate("", folder)
    with TestClient(create_app(Settings(data_dir=folder))) as api:  # which closes what it opened
        return Document(api.get("/openapi.json").json())


each_operation = pytest.mark.parametrize("name", OPERATIONS)


def test_one_method_an_operation(document: Document) -> None:
    methods = Counter((each.route.method, each.route.path) for each in OPERATIONS.values())
    assert methods == Counter(key for key, _ in document.operations())


@each_operation
def test_parameters(document: Document, name: str) -> None:
    operation = OPERATIONS[name]
    schemas, required = document.parameters(operation)
    given = parameters_of(operation)
    whole = {name for name, each in given.items() if is_whole_body(each, schemas)}
    given_in_body = {key for name in whole for key in get_type_hints(given[name].annotation)}
    assert given.keys() - whole | given_in_body == schemas.keys()
    assert {name for name, each in given.items() if each.default is each.empty} - whole == required


@each_operation
def test_keys(document: Document, name: str) -> None:
    """The client sends an Idempotency-Key where the service takes one."""
    parameters = document.operation(OPERATIONS[name]).get("parameters", [])
    headers = [each["name"] for each in parameters if each["name"] in KEYS]
    assert headers == ["Idempotency-Key"] * OPERATIONS[name].route.is_keyed


@each_operation
def test_parameter_types(document: Document, name: str) -> None:
    """A parameter with named values takes those that the document names."""
    schemas, _ = document.parameters(OPERATIONS[name])
    hints: dict[str, Any] = {}
    for parameter, each in parameters_of(OPERATIONS[name]).items():
        if is_whole_body(each, schemas):
            hints |= get_type_hints(each.annotation)
        else:
            hints[parameter] = each.annotation
    for parameter, hint in hints.items():
        names = document.names(schemas[parameter])
        # Where the document says "a string", the client may be narrower: chart names, "latest".
        assert not names or names_of(hint) == names, parameter


def parameters_of(operation: Operation[..., Any]) -> dict[str, inspect.Parameter]:
    return dict(list(signature_of(operation.build).parameters.items())[1:])


def is_whole_body(parameter: inspect.Parameter, schemas: Schema) -> bool:
    """The parameter is the body; elsewhere the body is an object of the parameters."""
    return is_typeddict(parameter.annotation) and parameter.name not in schemas


def names_of(hint: Any) -> set[str]:
    """The values of a `Literal`, wherever it stands in a type."""
    if get_origin(hint) is Literal:
        return {each for each in get_args(hint) if isinstance(each, str)}
    if is_typeddict(hint):
        return {name for each in get_type_hints(hint).values() for name in names_of(each)}
    return {name for each in get_args(hint) for name in names_of(each)}


@each_operation
def test_answers(document: Document, name: str) -> None:
    operation = OPERATIONS[name]
    (kind,) = get_args(get_type_hints(operation.build)["return"])
    answers = list(document.answers(operation))
    assert bool(answers) == (kind is not type(None))
    for schema in answers:
        assert list(differences(document, schema, kind, name)) == []


@each_operation
def test_errors_have_classes(document: Document, name: str) -> None:
    statuses = {int(status) for status in document.operation(OPERATIONS[name])["responses"]}
    assert {status for status in statuses if status >= 400} <= set(BY_STATUS)


def test_item_fields() -> None:
    """The document describes `fields` by a pattern, which names no values to compare."""
    assert set(get_args(ItemField)) == {*ANSWER_FIELDS, *COLUMNS}


ROWS = {
    app.client.Rating: RatingIn,
    app.client.GuestRating: GuestRating,
    app.client.PastEvent: PastEvent,
    app.client.Pair: PairIn,
    app.client.Event: EventIn,
    app.client.ItemRow: ItemRowIn,
    app.client.UserRow: UserRowIn,
}


@pytest.mark.parametrize(("kind", "row"), ROWS.items())
def test_rows(kind: type, row: type[BaseModel]) -> None:
    """The document does not describe the rows of batches, since each one is judged by itself."""
    assert {field.name for field in fields(kind)} == set(row.model_fields)


def test_fake_takes_the_same() -> None:
    """The fake's methods have names of operations and take whatever the client sends to those."""
    for name, answer in inspect.getmembers(Answers(Memory()), inspect.ismethod):
        if not name.startswith("_"):
            inspect.signature(answer).bind(**dict.fromkeys(parameters_of(OPERATIONS[name])))


def differences(document: Document, schema: Schema, kind: Any, where: str) -> Iterator[str]:
    """Each place where the type of an answer differs from the document."""
    kinds = get_args(kind) if get_origin(kind) in {types.UnionType, Union} else (kind,)
    if document.may_be_null(schema) and type(None) not in kinds:
        yield f"{where}: may be null"
    kinds = tuple(each for each in kinds if each is not type(None))
    if len(kinds) > 1:  # in the order of the document
        for alternative, each in zip(document.alternatives(schema), kinds, strict=True):
            yield from differences_of_one(document, alternative, each, where)
    else:
        yield from differences_of_one(document, schema, kinds[0], where)


def differences_of_one(document: Document, schema: Schema, kind: Any, where: str) -> Iterator[str]:
    one, *_ = document.alternatives(schema) or [{}]
    if is_dataclass(kind) or is_typeddict(kind):
        hints, properties = get_type_hints(kind), document.properties(schema)
        if hints.keys() - ONLY_SOMETIMES.get(kind, set()) != properties.keys() - ONLY_SOMETIMES.get(kind, set()):
            yield f"{where}: {sorted(hints)} but {sorted(properties)}"
        for name in hints.keys() & properties.keys() if is_dataclass(kind) else ():
            yield from differences(document, properties[name], hints[name], f"{where}.{name}")
    elif get_origin(kind) is tuple:
        yield from differences(document, one.get("items", {}), get_args(kind)[0], f"{where}[]")
    elif not is_plain(one, kind):
        yield f"{where}: {kind} but {one}"


def is_plain(schema: Schema, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return set(get_args(kind)) == set(schema.get("enum", [schema.get("const")]))
    if get_origin(kind) is Mapping:
        return bool(schema.get("type", "object") == "object")
    is_moment = schema.get("format") == "date-time"
    return bool(schema.get("type") == JSON_TYPES[kind]) and is_moment == (kind is datetime)


ONLY_SOMETIMES: dict[Any, set[str]] = {app.client.RecommendedItem: {"reasons"}, app.client.FoundItem: {"reasons"}}

JSON_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean", datetime: "string"}
