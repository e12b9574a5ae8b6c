"""Placements: where lists are shown, and the rules that hold there."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypedDict

from ..call import Request, operation
from .recommendations import ItemField, Recommendations


class PlacementSettings(TypedDict, total=False):
    """What is left out has its default. Shares are of the slots of a list, or a strength from 0 (off) to 1."""

    sources: Sequence[str] | None
    filter: str | None
    boost: str | None
    consume_again: bool
    own_items: bool
    category_cap: int | None
    diversity: float
    novelty: float
    exploration: float
    rotation: float
    rotation_half_life_hours: float
    freshness: float
    freshness_half_life_days: float
    promote: str | None
    promoted_share: float
    demote: str | None
    demotion: float
    recurring: float
    dissimilar: bool


@dataclass(frozen=True, slots=True)
class Placement:
    """To change one setting: `put_placement(name, {**placement.settings, "diversity": 0.3})`."""

    name: str
    settings: PlacementSettings


@dataclass(frozen=True, slots=True)
class Placements:
    placements: tuple[Placement, ...]

    def __iter__(self) -> Iterator[Placement]:
        return iter(self.placements)


class PlacementOperations:
    @operation("GET", "/placements")
    def placements(self) -> Request[Placements]:
        """All placements; `home` is always among them."""
        return Request(Placements)

    @operation("GET", "/placements/{name}")
    def placement(self, name: str) -> Request[Placement]:
        """A placement; raises `NotFoundError` where there is none."""
        return Request(Placement, path={"name": name})

    @operation("PUT", "/placements/{name}")
    def put_placement(self, name: str, settings: PlacementSettings) -> Request[Placement]:
        """Make or replace a placement: what is left out gets its default. Holds at once, for every list."""
        return Request(Placement, path={"name": name}, body=settings)

    @operation("DELETE", "/placements/{name}")
    def delete_placement(self, name: str) -> Request[None]:
        """Delete a placement; `home` goes back to the default settings."""
        return Request(type(None), path={"name": name})

    @operation("POST", "/placements/{name}/preview", changes=False, is_repeatable=True)
    def preview_placement(
        self,
        name: str,
        user_id: str,
        settings: PlacementSettings | None = None,
        *,
        limit: int | None = None,
        cursor: str | None = None,
        exclude: Iterable[str] = (),
        category: str | None = None,
        filter: str | None = None,  # noqa: A002  the service's own name
        boost: str | None = None,
        min_predicted_rating: float | None = None,
        placement: str | None = None,
        explain: bool = False,
        fields: Sequence[ItemField] = (),
    ) -> Request[Recommendations]:
        """What a user would be shown under these settings (or, without, those stored); stores nothing."""
        body = {
            "user_id": user_id,
            "settings": settings,
            "limit": limit,
            "cursor": cursor,
            "exclude": list(exclude),
            "category": category,
            "filter": filter,
            "boost": boost,
            "min_predicted_rating": min_predicted_rating,
            "placement": placement,
            "explain": explain,
            "fields": list(fields),
        }
        return Request(Recommendations, path={"name": name}, body=body)
