"""Items in lists, with their covers and the reasons why they stand there, as several pages show them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.console.covers import Cover, cover_of
from app.entities import RatingScale
from app.serving.item_details import ItemSelection, read_details, remembered_details
from app.serving.query import Because, Moved, Reasons, SegmentShare
from app.serving.request_state import RequestState
from app.wiring import Service

OF_COVERS = ItemSelection.parse(["categories,image_url"])
MAX_NAME = 300
"""Characters of a title that a list shows."""

STRATEGIES = {
    "personalized": "Personalized: by what the snapshot learned of this user, of whom nothing has changed since.",
    "fold_in": "Folded in: something is new since the snapshot, so the taste was computed anew for this list.",
    "profile": "By profile: there are no ratings yet, and the attributes of the user say something.",
    "popular": "Popular: nothing is known of this user that the snapshot could use, so bestsellers come first.",
}
"""What the strategies of answers mean."""

SEGMENTS = {
    "rating": "the rating that this user would give",
    "taste": "what users of like taste choose",
    "engagement": "what the user would choose when it is shown",
    "towers": "what the user and the item are",
    "popularity": "how popular the item is",
    "item_item": "what goes together with earlier choices",
    "transitions": "what is chosen next",
}
"""What each segment of a score says."""

SOURCES = {
    "nearest": "Near the taste",
    "similar": "Similar to what was liked",
    "popular": "Popular",
    "trending": "Trending",
    "newest": "New",
    "category": "From favourite categories",
    "group": "Popular in the same group",
    "boosted": "Boosted by the placement",
    "promoted": "Promoted by the placement",
    "exploration": "Shown to learn about it",
    "recurring": "Chosen before",
    "item_item": "Goes together with what was chosen",
    "transitions": "Often chosen next",
}
"""A short reason by source, for items that no rating explains."""

PREFERRED = ("promoted", "recurring", "exploration", "item_item", "transitions", "similar", "trending", "newest")
"""The sources that tell most are named first; the others follow in the order of the answer."""


@dataclass(frozen=True, slots=True)
class ItemCard:
    """`name`: the title, or the id of an item without one."""

    item_id: str
    name: str
    categories: tuple[str, ...]
    cover: Cover


@dataclass(frozen=True, slots=True)
class BecauseView:
    """`value`: the rating as text, empty for an item that was chosen and not rated."""

    item_id: str
    name: str
    value: str
    share_percent: float


@dataclass(frozen=True, slots=True)
class SegmentView:
    name: str
    meaning: str
    score: float
    share_percent: float


@dataclass(frozen=True, slots=True)
class ReasonsView:
    """`source`: in a few words, what proposed the item."""

    source: str
    because: tuple[BecauseView, ...]
    segments: tuple[SegmentView, ...]
    rules: tuple[str, ...]


def value_text(value: float) -> str:
    """A rating with all of its digits, such as `4` or `3.5`."""
    return repr(float(value)).removesuffix(".0")


async def cards_of(item_ids: Iterable[str], service: Service, state: RequestState) -> dict[str, ItemCard]:
    """The cards of items, by id. Of an item that no longer exists the name is the id."""
    catalogue, ids = state.serving.catalogue, list(dict.fromkeys(item_ids))
    if state.is_degraded:
        details = remembered_details(ids, OF_COVERS, catalogue)
    else:
        details = await read_details(ids, OF_COVERS, service.store.reads)
    return {
        item_id: _card(item_id, catalogue.row_of_id(item_id), detail["categories"], detail["image_url"], state)
        for item_id, detail in zip(ids, details, strict=True)
    }


def _card(
    item_id: str, row: int | None, categories: Sequence[str], image_url: str | None, state: RequestState
) -> ItemCard:
    name = shortened((None if row is None else state.serving.catalogue.titles[row]) or item_id)
    return ItemCard(item_id, name, tuple(categories), cover_of(name, categories, image_url))


def shortened(name: str) -> str:
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME]}…"


def reasons_view(reasons: Reasons | None, sources: Sequence[str], scale: RatingScale) -> ReasonsView:
    """`reasons`: None for a list without explanations."""
    named = [each for each in PREFERRED if each in sources] + [each for each in sources if each not in PREFERRED]
    source = SOURCES.get(named[0], named[0]) if named else ""
    if reasons is None:
        return ReasonsView(source, (), (), ())
    return ReasonsView(
        source,
        tuple(_because(each, scale) for each in reasons.because),
        tuple(map(_segment, sorted(reasons.segments, key=lambda each: -each.share_percent))),
        tuple(map(_moved, reasons.rules)),
    )


def _because(because: Because, scale: RatingScale) -> BecauseView:
    value = "" if because.rating is None or not scale.is_graded else value_text(because.rating)
    return BecauseView(because.item_id, shortened(because.title or because.item_id), value, because.share_percent)


def _segment(share: SegmentShare) -> SegmentView:
    return SegmentView(share.segment, SEGMENTS.get(share.segment, share.segment), share.score, share.share_percent)


def _moved(moved: Moved) -> str:
    if moved.rank_before is None:
        return f"the rule {moved.rule} brought it in at rank {moved.rank_after}"
    return f"the rule {moved.rule} moved it from rank {moved.rank_before} to {moved.rank_after}"
