"""A placement: where a list is shown, and the settings that hold there. Stored as a row, edited by API."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, make_dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from app.errors import InvalidInputError
from app.serving.parts import Setting, settings_of
from app.serving.reranking import ORDER_RULES, RESTRICTIONS
from app.serving.retrieval import SOURCES

FORMER_SOURCES = {"knn": "item_item", "ease": "item_item"}
"""Names that sources had in placements of earlier releases, which stay accepted -> their names now."""


def present_sources(value: object) -> object:
    """The choice of sources with the present names, each once; what is no list of names is left to the schema."""
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) for name in value):
        return value
    return [*dict.fromkeys(FORMER_SOURCES.get(name, name) for name in value)]


def declared_settings() -> dict[str, Setting]:
    """Name -> setting: the choice of sources, whether unknown names are allowed, then what the parts in the registries
    declare, in their order.
    """
    names: Any = Literal[tuple(source.name for source in SOURCES)]
    chosen = Field(min_length=1, description="Which sources propose candidates; null: all")
    chosen_sources = Annotated[tuple[names, ...] | None, chosen, BeforeValidator(present_sources)]
    allowed = Annotated[
        bool,
        Field(
            strict=True,
            description="Accept expressions that name an attribute or a category that no item has, for items to come",
        ),
    ]
    settings = {"sources": Setting(chosen_sources, None), "allow_unknown": Setting(allowed, False)}
    for part in (*SOURCES, *RESTRICTIONS, *ORDER_RULES):
        for name, setting in settings_of(part).items():
            if settings.setdefault(name, setting) != setting:
                raise TypeError(f"{part.name} declares the setting {name!r} otherwise than another part")
    return settings


_Settings: Any = make_dataclass(
    "_Settings", [(name, *setting) for name, setting in declared_settings().items()], frozen=True, kw_only=True
)


@dataclass(frozen=True, kw_only=True)
class Placement(_Settings):  # type: ignore[misc]  # its fields are known once the registries are
    """The settings of one placement, one or two of each rule; the defaults are those of a new placement.

    A share is of the slots of a list, or a strength from 0 (off) to 1.
    """

    __pydantic_config__: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"diversity": 0.3, "category_cap": 5}]}
    )

    @property
    def document(self) -> dict[str, Any]:
        """As stored; `parse_placement` reads it."""
        return asdict(self)


PLACEMENT: TypeAdapter[Placement] = TypeAdapter(Placement)

NAME_PATTERN = r"^[a-z0-9][a-z0-9_-]{0,63}$"


def parse_placement(document: Mapping[str, Any]) -> Placement:
    """Raises `InvalidInputError`, whose field is the setting at fault."""
    try:
        return PLACEMENT.validate_python(document)
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        raise InvalidInputError(fault["msg"], field=".".join(map(str, fault["loc"]))) from None


def check_name(name: str) -> str:
    """Return `name`. Raises `InvalidInputError` if it is not a valid name of a placement."""
    if not re.fullmatch(NAME_PATTERN.removesuffix("$"), name):  # `$` would accept a line break at the end
        message = "a placement is called by 1 to 64 of a-z, 0-9, _ and -, beginning with a letter or digit"
        raise InvalidInputError(message, field="placement")
    return name
