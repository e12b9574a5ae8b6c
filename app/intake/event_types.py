"""Creates the event types that a file of events uses and the service lacks."""

import re
from collections.abc import Callable, Iterable

from app.entities import EventType
from app.errors import ConflictError, InvalidInputError
from app.intake.cells.values import quote

MAX_CREATED = 50
"""Types that one import creates; a column with more distinct values holds something else than types."""

# The weights and flags are those of the types that every database begins with: shown, clicked, liked, disliked, watched
# and bought. Names are compared in lower case, without spaces and punctuation.
_SAVED = EventType("liked", 2.0)
_COMMON = (
    (EventType("shown", 0.0, is_exposure=True), "shown show impression impressions exposure display displayed"),
    (
        EventType("clicked", 1.0),
        "clicked click view viewed pv pageview detail detailview open visit itemview productview",
    ),
    (_SAVED, "liked like fav favor favorite favourite thumbsup upvote save bookmark wishlist collect share follow"),
    (_SAVED, "cart addtocart addcart basket addtobasket addtowishlist checkout begincheckout"),
    (EventType("disliked", -2.0), "disliked dislike thumbsdown downvote block hide notinterested"),
    (EventType("removed", -1.0), "removefromcart removecart removefrombasket unlike unfav"),
    (EventType("watched", 2.0, is_consumption=True), "watched watch play played listen stream read finish complete"),
    (
        EventType("bought", 3.0, is_consumption=True),
        "bought buy purchase transaction order booking rent rental install",
    ),
)
_MEANINGS = {name: meaning for meaning, names in _COMMON for name in names.split()}


class EventTypeCreator:
    """Creates missing event types under the names of a file.

    A common name (`view`, `addtocart`, `purchase`) gets the weight and flags of what it means. Any other gets the
    weight 0: nothing is learned from its events until the weight is set, because a wrong sign would be worse.

    `known`: names of the types that exist. `create`: stores a type; it may raise `ConflictError`.
    `is_complete`: whether the import declares its event types itself, so that none is created.

    `created`: the created types in order.
    """

    def __init__(self, known: Iterable[str], create: Callable[[EventType], object], *, is_complete: bool) -> None:
        self._known = set(known)
        self._create = create
        self._is_complete = is_complete
        self.created: list[EventType] = []

    def ensure(self, name: str) -> None:
        """Create the event type `name` if it does not exist; raises `InvalidInputError` where it cannot be created."""
        if name in self._known:
            return
        if self._is_complete:
            raise InvalidInputError(f"there is no event type {quote(name)}", field="type")
        if len(self.created) >= MAX_CREATED:
            raise InvalidInputError(
                f"there is no event type {quote(name)}, and one import creates at most {MAX_CREATED}"
                " (a file of event types declares more)",
                field="type",
            )
        event_type = _meant_by(name)
        try:
            self._create(event_type)
        except ConflictError as error:
            raise InvalidInputError(f"there is no event type {quote(name)}: {error}", field="type") from error
        self._known.add(name)
        self.created.append(event_type)


def _meant_by(name: str) -> EventType:
    meaning = _MEANINGS.get(re.sub(r"[\W_]+", "", name.casefold()))
    if meaning is None:
        return EventType(name, 0.0)
    return EventType(name, meaning.weight, meaning.is_exposure, meaning.is_consumption)
