"""Items: the columns that `app.entities.Item` declares, as JSON."""

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, create_model

from app.entities import BARE_ITEM, ITEM_DEFAULTS, ITEM_FIELDS, Item, ItemField, ItemFieldKind, Patch
from app.intake.item_types import input_type, without_repeats
from app.intake.rows import Body, DescribedAs
from app.intake.value_types import AttributesPatch, Id

_OUTPUT_TYPES: dict[ItemFieldKind, Any] = {
    "text": str,
    "url": str,
    "id": str,
    "texts": list[str],
    "integer": int,
    "number": float,
    "flag": bool,
    "time": datetime,
    "attributes": dict[str, Any],
}


def _input(name: str, declared: ItemField) -> tuple[Any, Any]:
    """Return the type and the properties of a field of a body; a missing field has the value of a bare item."""
    kind, default = input_type(declared), getattr(BARE_ITEM, name)
    described: dict[str, Any] = {"description": declared.description}
    if declared.example is not None:
        described["examples"] = [declared.example]
    # The default of a list or object is a factory, which does not appear in the OpenAPI document.
    if isinstance(default, tuple | dict):
        return kind, Field(default_factory=list if isinstance(default, tuple) else dict, **described)
    return kind | None if default is None else kind, Field(default, **described)


def _change(declared: ItemField) -> tuple[Any, Any]:
    """Return the type and the properties of a field of a merge patch; null clears it, a missing one stays."""
    kind = AttributesPatch if declared.kind == "attributes" else input_type(declared)
    described: dict[str, Any] = {"description": declared.description}
    if declared.example is not None:
        described["examples"] = [declared.example]
    return kind | None, Field(None, **described)


def _output(name: str, declared: ItemField) -> tuple[Any, Any]:
    kind = _OUTPUT_TYPES[declared.kind]
    return kind | None if getattr(BARE_ITEM, name) is None else kind, Field(description=declared.description)


_INPUTS: dict[str, Any] = {name: _input(name, declared) for name, declared in ITEM_FIELDS.items()}
_CHANGES: dict[str, Any] = {name: _change(declared) for name, declared in ITEM_FIELDS.items()}
_OUTPUTS: dict[str, Any] = {name: _output(name, declared) for name, declared in ITEM_FIELDS.items()}
_InputFields = create_model("_InputFields", __base__=Body, **_INPUTS)
_ChangeFields = create_model("_ChangeFields", __base__=Body, **_CHANGES)
_OutputFields = create_model("_OutputFields", item_id=(str, ...), **_OUTPUTS)


class ItemIn(_InputFields):
    def to_entity(self, item_id: str) -> Item:
        return Item(item_id, **without_repeats({name: getattr(self, name) for name in ITEM_FIELDS}))


class ItemRowIn(ItemIn):
    """A whole item in a batch."""

    item_id: Id

    def to_item(self) -> Item:
        return self.to_entity(self.item_id)


class ItemPatchIn(_ChangeFields):
    """A JSON merge patch (RFC 7396): null clears a field or removes an attribute; what is not named stays."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"year": 1994, "attributes": {"minutes": 142}}]})

    def to_patch(self, item_id: str) -> Patch:
        given = {name: getattr(self, name) for name in self.model_fields_set}
        changed = given.pop("attributes", None) or {}
        # The default of `attributes` removes all of them.
        cleared = {name: ITEM_DEFAULTS[name] for name in self.model_fields_set if getattr(self, name) is None}
        # An empty patch changes nothing, not even that a bare item is bare.
        return Patch(item_id, without_repeats(given | cleared), changed, keeps_bare=not self.model_fields_set)


class ItemOut(_OutputFields):
    @classmethod
    def from_item(cls, item: Item) -> Self:
        return cls.model_validate(item, from_attributes=True)


class ItemsPage(BaseModel):
    items: list[ItemOut]
    next_cursor: str | None = Field(description="Pass as `cursor` for the next page; null on the last")


class ItemsIn(Body):
    items: list[Annotated[Any, DescribedAs(ItemRowIn)]] = Field(
        max_length=1_000,
        description="Up to 1,000 items, each with its `item_id` and the fields of `PUT /items/{item_id}`",
        examples=[[{"item_id": "318", "title": "The Shawshank Redemption", "categories": ["Crime", "Drama"]}]],
    )
