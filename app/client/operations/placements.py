"""Placements: named places where lists are shown, each with the rules that apply there."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypedDict, Unpack, cast

import msgspec

from ..call import Request, operation
from ..wire import decode
from .recommendations import ListOptions, Recommendations, written

# Not the type of `RecommendedItem.sources`: a closed set there would make the sources of a newer service unreadable.
SourceName = Literal[
    "nearest",
    "similar",
    "category",
    "group",
    "popular",
    "trending",
    "newest",
    "item_item",
    "transitions",
    "boosted",
]


class PlacementSettings(TypedDict, total=False):
    """The rules of a placement. A setting that is left out has its default.

    `sources`: which sources propose candidates; None means all.
    Shares are of the slots of a list; the other fractions are strengths from 0 (off) to 1.
    """

    sources: Sequence[SourceName] | None
    allow_unknown: bool
    filter: str | None
    boost: str | None
    min_predicted_rating_above_mean: float | None
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
    """A placement as stored.

    To change one setting, unless another has changed the placement meanwhile:
    `put_placement(name, {**placement.settings, "diversity": 0.3}, if_version=placement.version)`.

    `version`: its number; 0: it was never changed.
    """

    name: str
    settings: PlacementSettings
    version: int = 0


@dataclass(frozen=True, slots=True)
class Placements:
    """All placements of the service."""

    placements: tuple[Placement, ...]

    def __iter__(self) -> Iterator[Placement]:
        return iter(self.placements)


@dataclass(frozen=True, slots=True)
class PlacementVersion:
    """A placement after one of its changes.

    `number`: counts the changes, from 1. `settings`: None: the placement was deleted. `changed_by`: the id of an API
    key, or `command line`; None where the service was open.
    """

    number: int
    settings: Mapping[str, Any] | None
    changed_at: datetime
    changed_by: str | None


@dataclass(frozen=True, slots=True)
class PlacementVersions:
    """Newest first."""

    name: str
    versions: tuple[PlacementVersion, ...]

    def __iter__(self) -> Iterator[PlacementVersion]:
        return iter(self.versions)


class _Placement(msgspec.Struct):
    name: str
    settings: dict[str, Any]
    version: int = 0

    def as_answer(self) -> Placement:
        return Placement(self.name, cast("PlacementSettings", self.settings), self.version)


class _Placements(msgspec.Struct):
    placements: tuple[_Placement, ...]


# msgspec would drop the settings that a newer service has and `PlacementSettings` lacks. Putting the placement back
# with one setting changed would then reset them.
def _read_placement(content: bytes) -> Placement:
    return decode(_Placement, content).as_answer()


def _read_placements(content: bytes) -> Placements:
    return Placements(tuple(each.as_answer() for each in decode(_Placements, content).placements))


def _if_match(version: int | None) -> dict[str, str]:
    return {} if version is None else {"if-match": f'"{version}"'}


class PlacementOperations:
    @operation("GET", "/placements")
    def placements(self) -> Request[Placements]:
        """All placements; `home` is always among them."""
        return Request(Placements, read=_read_placements)

    @operation("GET", "/placements/{name}")
    def placement(self, name: str) -> Request[Placement]:
        """A placement. Raises `NotFoundError` where there is none."""
        return Request(Placement, path={"name": name}, read=_read_placement)

    @operation("PUT", "/placements/{name}")
    def put_placement(
        self, name: str, settings: PlacementSettings, *, if_version: int | None = None
    ) -> Request[Placement]:
        """Make or replace a placement. It applies to every list from the next request on.

        `if_version`: raises `ChangedMeanwhileError`, and changes nothing, unless this version is stored.
        """
        headers = _if_match(if_version)
        return Request(Placement, path={"name": name}, body=settings, headers=headers, read=_read_placement)

    @operation("DELETE", "/placements/{name}")
    def delete_placement(self, name: str, *, if_version: int | None = None) -> Request[None]:
        """Delete a placement; `home` returns to the default settings. `if_version`: as of `put_placement`."""
        return Request(type(None), path={"name": name}, headers=_if_match(if_version))

    @operation("GET", "/placements/{name}/versions")
    def placement_versions(self, name: str, *, limit: int | None = None) -> Request[PlacementVersions]:
        """What the changes of a placement left, newest first. Raises `NotFoundError` where there never was one."""
        return Request(PlacementVersions, path={"name": name}, query={"limit": limit})

    @operation("POST", "/placements/{name}/versions/{number}/restore")
    def restore_placement(self, name: str, number: int, *, if_version: int | None = None) -> Request[Placement]:
        """Make the settings of an earlier version those of a new one. `if_version`: as of `put_placement`.

        Raises `NotFoundError` for a version that is not kept, and `ConflictError` for a deletion.
        """
        path, headers = {"name": name, "number": str(number)}, _if_match(if_version)
        return Request(Placement, path=path, headers=headers, read=_read_placement)

    @operation("POST", "/placements/{name}/preview", changes=False)
    def preview_placement(
        self,
        name: str,
        user_id: str,
        settings: PlacementSettings | None = None,
        **options: Unpack[ListOptions],
    ) -> Request[Recommendations]:
        """What a user would be recommended under `settings`, or under the stored ones; stores nothing."""
        body = {"user_id": user_id, "settings": settings, **written(options)}
        return Request(Recommendations, path={"name": name}, body=body)
