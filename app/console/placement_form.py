"""The form of a placement, made from the schema of its settings: a new rule appears in it by itself."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData

from app.errors import InvalidInputError
from app.serving.parts import settings_of
from app.serving.placement import PLACEMENT, Placement
from app.serving.reranking import ORDER_RULES, RESTRICTIONS
from app.serving.retrieval import SOURCES

_KINDS = {"boolean": "flag", "integer": "whole", "number": "number", "string": "expression"}
_READERS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "whole": (lambda text: int(text[:20]), "A whole number"),
    "number": (float, "A number"),
    "json": (json.loads, "A value in JSON"),
}
DEFAULTS = Placement().document


@dataclass(frozen=True, slots=True)
class SettingInput:
    """One setting. `kind`: flag, whole, number, expression, choices or json. `value`: what the input holds; `chosen`:
    the marked ones of `options`. `bounds`, `default`: in words.
    """

    name: str
    kind: str
    value: str
    chosen: tuple[str, ...]
    options: tuple[str, ...]
    minimum: float | None
    maximum: float | None
    is_optional: bool
    description: str
    bounds: str
    default: str
    problem: str | None = None

    @property
    def label(self) -> str:
        return label_of(self.name)


@dataclass(frozen=True, slots=True)
class SettingGroup:
    """The settings of one part of the pipeline, and what it does."""

    title: str
    meaning: str
    inputs: tuple[SettingInput, ...]


def label_of(name: str) -> str:
    return name.replace("_", " ").capitalize()


def form_groups(
    settings: Mapping[str, Any],
    typed: Mapping[str, str] | None = None,
    problems: Mapping[str, str] | None = None,
) -> tuple[SettingGroup, ...]:
    """`typed`: what an operator typed in place of the settings. `problems`: what is wrong, by setting."""
    schema = PLACEMENT.json_schema()["properties"]
    made = {
        name: _input(name, schema[name], settings[name], (typed or {}).get(name), (problems or {}).get(name))
        for name in schema
    }
    groups = []
    for part in (*RESTRICTIONS, *ORDER_RULES, *SOURCES):
        own = tuple(made.pop(name) for name in settings_of(part) if name in made)
        if own:
            groups.append(SettingGroup(label_of(part.name), part.meaning, own))
    # What no part declares, such as the choice of sources.
    general = SettingGroup(
        "General", "Which sources propose candidates, and what expressions may name.", (*made.values(),)
    )
    return (general, *groups)


def _input(name: str, schema: Mapping[str, Any], value: Any, typed: str | None, problem: str | None) -> SettingInput:
    choices = schema.get("anyOf", [schema])
    main = next(each for each in choices if each.get("type") != "null")
    options = tuple(main.get("items", {}).get("enum", ()))
    kind = "choices" if options else _KINDS.get(main.get("type", ""), "json")
    low, high = main.get("minimum", main.get("exclusiveMinimum")), main.get("maximum")
    is_optional = len(choices) > 1
    return SettingInput(
        name=name,
        kind=kind,
        value=_text(value, kind) if typed is None else typed,
        chosen=tuple(value or ()) if kind == "choices" else (),
        options=options,
        minimum=low,
        maximum=high,
        is_optional=is_optional,
        description=_in_the_form(schema.get("description", ""), kind),
        bounds=_bounds(low, high, "exclusiveMinimum" in main),
        default=shown_setting(schema.get("default")),
        problem=problem,
    )


def _in_the_form(description: str, kind: str) -> str:
    """A form has no null, which the description of the API names."""
    return description.replace("null:", "none marked:" if kind == "choices" else "empty:")


def _bounds(low: float | None, high: float | None, is_exclusive: bool) -> str:
    if low is None or high is None:
        return ""
    return f"{'above ' if is_exclusive else ''}{low:,.10g} to {high:,.10g}"


def _text(value: Any, kind: str) -> str:
    if value is None:
        return ""
    if kind == "flag":
        return "yes" if value else ""
    if kind == "json":
        return json.dumps(value)
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


def shown_setting(value: Any) -> str:
    """A setting in words."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class TypedPlacement:
    """What was typed: as settings, or with what is wrong by setting; `document` holds what could be read."""

    settings: Placement | None
    document: Mapping[str, Any]
    typed: Mapping[str, str]
    problems: Mapping[str, str]


def read_placement(form: FormData) -> TypedPlacement:
    """From the inputs of the form, or from its field `settings`, a JSON object."""
    if "settings" in form:
        return _from_json(str(form["settings"]))
    document, typed, problems = dict(DEFAULTS), {}, {}
    for group in form_groups(DEFAULTS):
        for each in group.inputs:
            text = str(form.get(each.name, "")).replace("\r\n", "\n").strip()
            typed[each.name] = text
            try:
                document[each.name] = _read(each, text, form)
            except ValueError as error:
                problems[each.name] = str(error)
    return _checked(document, typed, problems)


def _from_json(text: str) -> TypedPlacement:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or not document.keys() <= DEFAULTS.keys():
        raise InvalidInputError("settings is a JSON object of settings", field="settings")
    return _checked(DEFAULTS | document, {}, {})


def _read(setting: SettingInput, text: str, form: FormData) -> Any:
    """The value of one input. Raises `ValueError`, whose text says what is needed."""
    if setting.kind == "choices":
        return [str(each) for each in form.getlist(setting.name)] or None
    if setting.kind == "flag":
        return text == "yes"
    if not text:
        return None if setting.is_optional else DEFAULTS[setting.name]
    if setting.kind not in _READERS:
        return text
    read, needed = _READERS[setting.kind]
    try:
        return read(text)
    except (ValueError, RecursionError):
        raise ValueError(f"{needed} is needed.") from None


def _checked(document: dict[str, Any], typed: dict[str, str], problems: dict[str, str]) -> TypedPlacement:
    settings = None
    try:
        settings = PLACEMENT.validate_python(document)
    except ValidationError as error:
        for fault in error.errors(include_url=False, include_input=False):
            name = str(fault["loc"][0])
            message = str(fault["msg"])
            problems.setdefault(name, f"{message[0].upper()}{message[1:]}.")
            document[name] = DEFAULTS.get(name)
    return TypedPlacement(None if problems else settings, document, typed, problems)


@dataclass(frozen=True, slots=True)
class SettingChange:
    """One setting that differs, in words."""

    name: str
    before: str
    after: str

    @property
    def label(self) -> str:
        return label_of(self.name)


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[SettingChange, ...]:
    """What differs between two documents; settings that one does not have are at their defaults."""
    pairs = ((name, before.get(name, default), after.get(name, default)) for name, default in DEFAULTS.items())
    return tuple(
        SettingChange(name, shown_setting(old), shown_setting(new))
        for name, old, new in pairs
        if _plain(old) != _plain(new)
    )


def _plain(value: Any) -> Any:
    # A choice of sources is a tuple in memory and a list as stored.
    return list(value) if isinstance(value, tuple) else value
