"""The form of an item: its fields as texts, and what was typed as a merge patch.

Only what differs from what the form showed is changed, so that of two operators who edit different fields of an item
neither undoes what the other did. Of two who edit the same field, the second is told, and may save once more.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError
from starlette.datastructures import FormData

from app.entities import ITEM_DEFAULTS, ITEM_FIELDS, AttributeValue, Item, ItemField, Patch
from app.intake.item_types import input_type, without_repeats
from app.intake.value_types import AttributesPatch

ATTRIBUTE_KINDS = ("text", "number", "yes or no", "list")
MAX_ATTRIBUTES_SHOWN = 150
"""Attributes in the form: an import may have stored more than a form can send."""
MAX_CHARACTERS_QUOTED = 100

_WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,18}")
_HINTS = {
    "texts": "One on each line.",
    "time": "ISO 8601 with an offset, such as 2026-03-01T20:15:00Z.",
    "url": "Begins with http:// or https://.",
}
_TYPES: Mapping[str, TypeAdapter[Any]] = {
    name: TypeAdapter(input_type(declared)) for name, declared in ITEM_FIELDS.items() if declared.kind != "attributes"
}
_ATTRIBUTES: TypeAdapter[Any] = TypeAdapter(AttributesPatch)


@dataclass(frozen=True, slots=True)
class FieldInput:
    """`value`: what the input holds; `was`: what it held when the form was made, by which a change is known."""

    name: str
    kind: str
    value: str
    was: str
    hint: str
    problem: str | None = None

    @property
    def label(self) -> str:
        return self.name.replace("_", " ").removeprefix("is ").capitalize().replace("Url", "URL").replace("url", "URL")

    @property
    def is_long(self) -> bool:
        # An input of one line would drop the ends of lines.
        return self.kind == "texts" or self.name == "description" or "\n" in self.value


@dataclass(frozen=True, slots=True)
class AttributeInput:
    """`kind`: one of `ATTRIBUTE_KINDS`. A list has one element on each line."""

    name: str
    kind: str
    value: str
    was: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class ItemForm:
    fields: tuple[FieldInput, ...]
    attributes: tuple[AttributeInput, ...]
    n_hidden: int = 0

    @property
    def is_valid(self) -> bool:
        problems = [*(each.problem for each in self.fields), *(each.problem for each in self.attributes)]
        return not any(problems)


def form_of(item: Item) -> ItemForm:
    fields = tuple(
        FieldInput(name, declared.kind, text := _text(getattr(item, name)), text, _hint(declared))
        for name, declared in ITEM_FIELDS.items()
        if declared.kind != "attributes"
    )
    attributes = [_attribute(name, value) for name, value in sorted(item.attributes.items())]
    shown = attributes[:MAX_ATTRIBUTES_SHOWN]
    return ItemForm(fields, (*shown, AttributeInput("", "text", "", "")), len(attributes) - len(shown))


def read_form(item: Item, form: FormData) -> tuple[ItemForm, Patch]:
    """What was typed, with a problem beside each field that is not valid; and the patch of the valid changes.

    `item`: as it is stored now, which may differ from what the form showed.
    """
    fields, changed = [], {}
    for name, declared in ITEM_FIELDS.items():
        if declared.kind == "attributes" or name not in form:
            continue
        typed, was = _typed(form.get(name)), _typed(form.get(f"was.{name}"))
        problem, stored = None, _text(getattr(item, name))
        if typed.strip() != was.strip():
            value, problem = _read_field(name, declared, typed)
            if problem is None and stored.strip() not in {was.strip(), typed.strip()}:
                was, problem = stored, _changed_meanwhile(stored)
            if problem is None:
                changed[name] = value
        fields.append(FieldInput(name, declared.kind, typed, was, _hint(declared), problem))
    attributes, patched = _read_attributes(item, form)
    is_empty = not changed and not patched
    patch = Patch(item.item_id, without_repeats(changed), patched, keeps_bare=is_empty)
    return ItemForm(tuple(fields), attributes), patch


def _read_field(name: str, declared: ItemField, typed: str) -> tuple[Any, str | None]:
    """The value, the default for an empty input; or what is wrong with it."""
    text = typed.strip()
    if not text:
        return ITEM_DEFAULTS[name], None
    raw: Any = text
    if declared.kind == "texts":
        raw = _lines(typed)
    elif declared.kind == "flag":
        raw = text == "yes"
    elif declared.kind == "integer":
        if not _WHOLE_NUMBER.fullmatch(text):
            return None, "A whole number is needed."
        raw = int(text)
    elif declared.kind == "number":
        try:
            raw = float(text)
        except ValueError:
            return None, "A number is needed."
    try:
        return _TYPES[name].validate_python(raw), None
    except ValidationError as error:
        return None, _sentence(error)


def _changed_meanwhile(stored: str) -> str:
    shown = f"“{stored.strip()[:MAX_CHARACTERS_QUOTED]}”" if stored.strip() else "nothing"
    return f"This was changed meanwhile: it is {shown} now. Save again to replace that."


def _read_attributes(item: Item, form: FormData) -> tuple[tuple[AttributeInput, ...], dict[str, AttributeValue | None]]:
    columns = [
        [_typed(each) for each in form.getlist(f"attribute.{part}")] for part in ("name", "kind", "value", "was")
    ]
    inputs: list[AttributeInput] = []
    patched: dict[str, AttributeValue | None] = {}
    for name, kind, value, was in zip(*columns, strict=False):
        problem, shown = None, was
        typed = f"{kind}\n{value.strip()}" if value.strip() else ""
        if name.strip() and typed != was:
            read, problem = _read_attribute(name.strip(), kind, value.strip())
            stored = _stored_attribute(item, name.strip())
            if problem is None and stored.was not in {was, typed}:
                shown, problem = stored.was, _changed_meanwhile(stored.value)
            if problem is None:
                patched |= read
        elif value.strip() and not name.strip():
            problem = "An attribute needs a name."
        inputs.append(AttributeInput(name, kind, value, shown, problem))
    return tuple(inputs), patched


def _read_attribute(name: str, kind: str, text: str) -> tuple[dict[str, AttributeValue | None], str | None]:
    raw: Any = text
    if not text:
        raw = None
    elif kind == "number":
        try:
            raw = int(text) if _WHOLE_NUMBER.fullmatch(text) else float(text)
        except ValueError:
            return {}, "A number is needed."
    elif kind == "yes or no":
        if text.lower() not in {"yes", "no"}:
            return {}, "Write yes or no."
        raw = text.lower() == "yes"
    elif kind == "list":
        raw = _lines(text)
    elif kind != "text":
        return {}, "The kind is not known."
    try:
        read: dict[str, AttributeValue | None] = _ATTRIBUTES.validate_python({name: raw})
    except ValidationError as error:
        return {}, _sentence(error)
    return read, None


def _stored_attribute(item: Item, name: str) -> AttributeInput:
    if name not in item.attributes:
        return AttributeInput(name, "text", "", "")
    return _attribute(name, item.attributes[name])


def _attribute(name: str, value: AttributeValue) -> AttributeInput:
    kind, text = "text", _text(value)
    if isinstance(value, bool):
        kind = "yes or no"
    elif isinstance(value, int | float):
        kind, text = "number", repr(value)
    elif isinstance(value, list):
        kind = "list"
    return AttributeInput(name, kind, text, f"{kind}\n{text.strip()}")


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return "\n".join(_with_plain_ends(str(each)) for each in value)
    return _with_plain_ends(value.isoformat().replace("+00:00", "Z") if hasattr(value, "isoformat") else str(value))


def _typed(value: object) -> str:
    return _with_plain_ends(value) if isinstance(value, str) else ""


def _with_plain_ends(text: str) -> str:
    """Browsers send the end of a line as two characters, whichever it was; what is stored may have any."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _hint(declared: ItemField) -> str:
    hints = [_HINTS.get(declared.kind, "")]
    if declared.description:
        # Documented for JSON, where an empty field is null.
        hints.insert(0, f"{declared.description.replace('Null', 'Empty')}.")
    return " ".join(filter(None, hints))


def _sentence(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_input=False)[0]
    message = str(fault["msg"])
    return message[0].upper() + message[1:] + "."
