"""Columns of stored items that lists return where the option `fields` names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemColumns:
    """Columns of the stored item, as in `Item`. One that is not returned is None or empty.

    `attributes`: those that `fields` names and the item has.
    """

    categories: tuple[str, ...] = ()
    year: int | None = None
    attributes: Mapping[str, Any] = field(default_factory=dict)
    is_available: bool | None = None
    available_until: datetime | None = None
    created_by: str | None = None
    added_at: datetime | None = None
    description: str | None = None
    url: str | None = None
    image_url: str | None = None
