"""What the name of a column says.

A name is split into words, so that `Customer ID`, `customerNo` and `customer_uuid` are alike. The last word says what a
column holds, and the words before it say of what: `order_date`, `movie_title`, `average_rating`.
"""

import re
import unicodedata
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import lru_cache

from app.intake.column_names.vocabulary import (
    ACTIONS,
    AGGREGATES,
    AMOUNTS,
    ATTRIBUTES,
    CATALOGUES,
    CODE_WORDS,
    CODES,
    COUNTED,
    CREATORS,
    DEVICES,
    ENTRY_TIMES,
    EVENT_TYPES,
    EXTERNAL,
    FILLERS,
    FLAGS,
    ID_WORDS,
    ITEMS,
    KNOWN,
    LOGS,
    MEASURES,
    NAMES,
    OF_AMOUNTS,
    PARENTS,
    PARTICIPLES,
    PROPERTIES,
    RATINGS,
    RATINGS_OF_ITEMS,
    SIZES,
    TEXTS,
    TIMES,
    TIMES_OF_ENTRIES,
    USERS,
    WEAK,
)


class Role(StrEnum):
    """What a column holds. The text completes the sentence "the column holds ..."."""

    USER = "ids of users"
    ITEM = "ids of items"
    USER_NAME = "names of users"
    TITLE = "titles"
    RATING = "ratings"
    AMOUNT = "amounts of use"
    MEASURE = "amounts"
    ACTION_TIME = "times of actions"
    ENTRY_TIME = "times of creation"
    OWN_TIME = "times of items or users"
    DATE = "dates"
    EVENT_TYPE = "types of events"
    EVENT_ID = "ids of events"
    ACTION_ID = "ids of orders, sessions or reviews"
    OF_ACTION = "parts of orders, events or reviews"
    TEXT = "texts that users may have written"
    CREATOR = "makers or sellers"
    OTHER_ID = "ids"
    OF_USER = "properties of users"
    OF_ITEM = "properties of items"
    AGGREGATE = "figures over all users"
    ATTRIBUTE = "attributes"
    UNKNOWN = "values of an unknown kind"


class Strength(IntEnum):
    """How clearly a name names an id, the clearest first.

    `WEAK` names are more often properties (`artist`), and `PLURAL` ones counts (`members`): they are ids only beside an
    id of the other side.
    """

    ID = 0
    CODE = 1
    BARE = 2
    EXTERNAL = 3
    WEAK = 4
    PLURAL = 5


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a name says.

    `strength`: of ids; other roles have the strongest.
    `place`: of two columns with the same role and strength, the one with the lower place is more specific.
    `noun`: the word for the user or item; empty for other roles.
    """

    role: Role
    strength: Strength = Strength.ID
    place: int = 0
    noun: str = ""

    @property
    def rank(self) -> tuple[int, int]:
        """The order of preference among columns of one role; lower is preferred."""
        return self.strength, self.place


_PHRASES = {
    # Names that single data sets use, such as KKBox and Steam.
    "msno": Meaning(Role.USER, noun="user"),
    "steamid": Meaning(Role.USER, noun="user"),
    "uid": Meaning(Role.USER, Strength.BARE, noun="user"),
    "iid": Meaning(Role.ITEM, Strength.BARE, noun="item"),
    "username": Meaning(Role.USER, Strength.BARE, 1, noun="user"),
    "login": Meaning(Role.USER, Strength.BARE, 2, noun="user"),
    "eventid": Meaning(Role.EVENT_ID),
    "postcode": Meaning(Role.ATTRIBUTE),
    "stockcode": Meaning(Role.ITEM, place=ITEMS["stockcode"], noun="stockcode"),
}
_CAMEL_HUMP = re.compile(r"(?<=[a-z\d])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_WORD = re.compile(r"[^\W\d_]+|\d+")
_BEHIND = 10_000
"""Added to the place of an id that belongs to another user or item."""
_LASTING = frozenset({"watch", "play", "dwell", "listen", "spend", "spent"})
_WHOLE_DAYS = frozenset({"date", "on", "when", "day"})
_GRADES = frozenset({"rating", "score", "star", "grade"})
# Shorter words occur by chance inside of others.
_MIN_LETTERS = 4
_SHORT_ENDS = frozenset({"id", "ids", "no", "nr", "idx", "uid", "sku", "at", "url", "age", "tag"})


def fold(name: str) -> str:
    """Return a name in lower case, without spaces and punctuation."""
    # RecBole files append a type to each name: `user_id:token`.
    return re.sub(r"[\W_]+", "", unicodedata.normalize("NFKC", name).partition(":")[0].casefold())


def _singular(word: str) -> str:
    """Return the singular of a plural of a known word, and any other word unchanged."""
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    singulars = (word.removesuffix(plural) + singular for plural, singular in endings if word.endswith(plural))
    return word if word in KNOWN else next((each for each in singulars if each in KNOWN), word)


def _split_joined(word: str) -> list[str]:
    """Split words written as one, such as `visitorid` and `unixreviewtime`; a word that cannot be split is returned."""
    if _singular(word) in KNOWN:
        return [word]
    for cut in range(len(word) - 1, 1, -1):
        left, right = word[:cut], word[cut:]
        is_long_enough = len(right) >= _MIN_LETTERS or right in _SHORT_ENDS
        if is_long_enough and (len(left) >= _MIN_LETTERS - 1 or left == "id") and _singular(left) in KNOWN:
            rest = _split_joined(right)
            if all(_singular(each) in KNOWN for each in rest):
                return [left, *rest]
    return [word]


@dataclass(frozen=True, slots=True)
class _Words:
    """The words of a name, in the singular. `is_plural`: whether the last one is a plural."""

    all: Sequence[str]
    is_plural: bool

    @classmethod
    def of(cls, name: str) -> "_Words":
        text = unicodedata.normalize("NFKC", name).partition(":")[0].replace("IDs", "Ids")
        parts = _WORD.findall(_CAMEL_HUMP.sub(" ", text).casefold())
        # An ISBN of 10 or of 13 digits is the same kind of id.
        if len(parts) > 1 and parts[-1] in {"10", "13"} and parts[-2] == "isbn":
            parts.pop()
        # Other numbers tell the columns of a series apart, such as `rating_1` to `rating_5`: they have no meaning each.
        if any(part.isdigit() for part in parts):
            return cls([], is_plural=False)
        words = [word for part in parts for word in _split_joined(part)]
        singular = [_singular(word) for word in words]
        kept = [word for word in singular if word not in FILLERS] or singular
        return cls(kept, bool(words) and singular[-1] != words[-1])

    @property
    def last(self) -> str:
        return self.all[-1]

    @property
    def before(self) -> Sequence[str]:
        """All words but the last."""
        return self.all[:-1]

    def has(self, *sets: Collection[str]) -> bool:
        return any(word in each for each in sets for word in self.all)

    def begins_with(self, *sets: Collection[str]) -> bool:
        """Whether any word but the last is in one of the sets."""
        return any(word in each for each in sets for word in self.before)


def without_owner(name: str, role: Role) -> tuple[str, str]:
    """Split `Book-Title` into the noun `book` and the rest `title`, folded; the noun is empty where there is none.

    `role`: `USER` or `ITEM`, of which the noun is.
    """
    words = _Words.of(name).all
    nouns = USERS if role is Role.USER else ITEMS
    return (words[0], "".join(words[1:])) if len(words) > 1 and words[0] in nouns else ("", "".join(words))


def kind_of_file(name: str) -> Role | None:
    """Return what the name of a file says of its rows: `USER`, `ITEM` or `OF_ACTION`; None where it says nothing."""
    words = _Words.of(name.partition(".")[0]).all
    if any(word in LOGS for word in words):
        return Role.OF_ACTION
    if any(word in USERS for word in words):
        return Role.USER
    return Role.ITEM if any(word in ITEMS or word in CATALOGUES for word in words) else None


def is_part_of_another(noun: str) -> bool:
    """Whether items of this noun are what other items belong to, as tracks belong to an album of an artist."""
    return noun in PARENTS


# A table may have 100,000 columns, and each name is looked at several times.
@lru_cache(maxsize=200_000)
def meaning_of(name: str) -> Meaning:
    """Return what the name of a column says by itself."""
    words = _Words.of(name)
    if "".join(words.all) in _PHRASES:
        return _PHRASES["".join(words.all)]
    if not words.all:
        return Meaning(Role.UNKNOWN)
    meanings = (each(words) for each in (_flag, _figure, _id, _time, _event_type, _rating, _amount, _noun, _name))
    return next((meaning for meaning in meanings if meaning), None) or Meaning(_property(words))


def _flag(words: _Words) -> Meaning | None:
    if words.all[0] not in FLAGS:
        return None
    is_of_action = words.last in RATINGS or words.last in AMOUNTS or words.last in PARTICIPLES
    return Meaning(Role.RATING, place=len(RATINGS)) if is_of_action else Meaning(Role.ATTRIBUTE)


def _figure(words: _Words) -> Meaning | None:
    """Averages and counts over all users: `average_rating`, `num_reviews`, `vote_count`, `users_rated`, `reviews`."""
    is_count = words.is_plural and words.last in COUNTED and not words.has({"helpful"}, TIMES)
    if is_count or (words.begins_with(USERS) and words.last in PARTICIPLES):
        return Meaning(Role.AGGREGATE)
    ends = words.all[0], words.last
    is_figure = len(words.all) > 1 and (
        ends[0] in AGGREGATES
        or words.has({"per"})
        # `order_number` is an id, `rating_number` is a count.
        or (ends[1] in AGGREGATES and (ends[1] not in ID_WORDS or words.before[-1] in RATINGS))
    )
    if not is_figure:
        return None
    if words.has({"last", "first"}):
        # The newest action of a user; where it is the newest one on an item as well, it is the time of both.
        is_time = words.has(ACTIONS, PARTICIPLES, {"login", "active", "activity"}) or (
            words.has(TIMES) and not words.has(TIMES_OF_ENTRIES)
        )
        return Meaning(Role.ENTRY_TIME, Strength.EXTERNAL, len(TIMES)) if is_time else None
    if words.has(RATINGS, USERS, {"review", "comment"}):
        return Meaning(Role.AGGREGATE)
    return Meaning(Role.AMOUNT, place=len(AMOUNTS)) if words.has(AMOUNTS, ACTIONS) else None


def _id(words: _Words) -> Meaning | None:
    is_id = words.last in ID_WORDS or words.last in CODES or words.all[0] in {"id", "uid", "uuid", "code"}
    if not is_id:
        return None
    owner = [word for word in words.all if word not in ID_WORDS]
    id_words = [word for word in words.all if word in ID_WORDS]
    is_code = bool(set(id_words) <= CODE_WORDS)
    if not owner:
        return None if is_code else Meaning(Role.OTHER_ID)
    noun = owner[-1]
    if not CREATORS.isdisjoint(owner):
        return Meaning(Role.CREATOR)
    for role, nouns in ((Role.USER, USERS), (Role.ITEM, ITEMS)):
        if noun in nouns:
            # `parent_asin` and `best_book_id` are ids of another item; `review_product_id` is not.
            is_other = any(word not in USERS and word not in ITEMS and word not in ACTIONS for word in owner[:-1])
            is_external = noun in EXTERNAL or noun in DEVICES or owner[0] in EXTERNAL - {noun}
            strength = Strength.EXTERNAL if is_external else Strength.CODE if is_code or is_other else Strength.ID
            place = nouns[noun] * len(ID_WORDS) + min((ID_WORDS[word] for word in id_words), default=0)
            return Meaning(role, strength, place + is_other * _BEHIND, noun)
    if noun in ACTIONS:
        return Meaning(Role.ACTION_ID)
    named = _property(_Words(owner, is_plural=False))
    return Meaning(Role.OTHER_ID if named is Role.UNKNOWN and not is_code else named)


def _time(words: _Words) -> Meaning | None:
    if words.last in ENTRY_TIMES and set(words.before) <= {"last", "first"}:
        return Meaning(Role.ENTRY_TIME, Strength.EXTERNAL)
    if len(words.all) == 1 and words.last in TIMES_OF_ENTRIES:
        return Meaning(Role.OWN_TIME)
    word = next((each for each in (words.last, words.all[0]) if each in TIMES), None)
    rest = _Words([each for each in words.all if each not in TIMES], is_plural=False)
    # `watch_time` is a duration. A name that only begins with `on` is no time.
    if word is None or (word == "time" and rest.has(_LASTING)) or (word == "on" and words.last != "on"):
        return None
    place = TIMES[word] + (0 if words.has({"unix", "timestamp"}) else len(TIMES))
    if not rest.all:
        is_exact = not set(words.all) <= _WHOLE_DAYS
        return Meaning(Role.ACTION_TIME if is_exact else Role.DATE, Strength.BARE, place)
    return _time_of(rest, word, place)


def _time_of(subject: _Words, word: str, place: int) -> Meaning | None:
    """The time named by `word` of what the subject says."""
    if subject.has(TIMES_OF_ENTRIES):
        return Meaning(Role.OWN_TIME)
    if subject.has(PARTICIPLES, ACTIONS, RATINGS, AMOUNTS):
        return Meaning(Role.ACTION_TIME, Strength.ID, place)
    if subject.has(ENTRY_TIMES):
        return Meaning(Role.ENTRY_TIME, Strength.EXTERNAL, place)
    if word in {"timestamp", "datetime", "ts", "epoch"}:
        return Meaning(Role.ACTION_TIME, Strength.BARE, place)
    return Meaning(Role.DATE, Strength.PLURAL, place) if word == "date" else None


def _event_type(words: _Words) -> Meaning | None:
    named = [word for word in words.all if word in EVENT_TYPES]
    others = [word for word in words.all if word not in EVENT_TYPES and word not in USERS]
    # Feedback is a word for ratings as well, but there is no type of a rating.
    if not named or words.is_plural or others not in ([], ["name"], ["feedback"]):
        return None
    if named == ["type"] and not others:
        # `user_type` is a property of a user.
        return Meaning(Role.EVENT_TYPE, Strength.WEAK) if len(words.all) == 1 else None
    return Meaning(Role.EVENT_TYPE, Strength.ID if len(words.all) > 1 else Strength.BARE, EVENT_TYPES[named[0]])


def _rating(words: _Words) -> Meaning | None:
    if words.last not in RATINGS:
        return None
    if words.begins_with(RATINGS_OF_ITEMS):
        return Meaning(Role.AGGREGATE)
    if words.begins_with({"helpful"}):
        return Meaning(Role.OF_ACTION)
    if words.begins_with({"event"}):
        return Meaning(Role.AMOUNT, place=len(AMOUNTS))
    known = [word for word in words.before if word in USERS or word in ITEMS or word in ACTIONS or word in RATINGS]
    place = RATINGS[words.last]
    if len(known) == len(words.before):
        return Meaning(Role.RATING, Strength.ID, place)
    # An aspect of a rating, such as `aroma_score`; `lifetime_value` is not one.
    return Meaning(Role.RATING, Strength.WEAK, place) if words.last in _GRADES else None


def _amount(words: _Words) -> Meaning | None:
    if words.begins_with(PARTICIPLES):
        return None
    if words.last in PARTICIPLES and words.begins_with(MEASURES):
        return Meaning(Role.AMOUNT, place=len(AMOUNTS))
    if words.last in AMOUNTS:
        return Meaning(Role.AMOUNT, place=AMOUNTS[words.last])
    if words.last in OF_AMOUNTS and words.begins_with(AMOUNTS):
        return Meaning(Role.AMOUNT, place=next(AMOUNTS[word] for word in words.before if word in AMOUNTS))
    return _measure(words) if words.last in MEASURES else None


def _measure(words: _Words) -> Meaning | None:
    if words.begins_with(ACTIONS):
        return Meaning(Role.AMOUNT, place=len(AMOUNTS))
    # `compliment_count` counts something else, and a `video_duration` is a property of the video.
    if not set(words.before) <= MEASURES.keys() | ({*ITEMS, *USERS} if words.last == "count" else set()):
        return None
    strength = Strength.ID if words.last in SIZES else Strength.WEAK
    return Meaning(Role.MEASURE, strength, MEASURES[words.last])


def _noun(words: _Words) -> Meaning | None:
    """A user or item named without a word for its id: `user`, `Product`, `order_customer`."""
    for role, nouns in ((Role.USER, USERS), (Role.ITEM, ITEMS)):
        if words.last not in nouns:
            continue
        place, noun = nouns[words.last], words.last
        is_alone = all(word in ACTIONS for word in words.before)
        if words.is_plural:
            if not words.before:
                return Meaning(role, Strength.PLURAL, place, noun)
            return Meaning(Role.AGGREGATE) if role is Role.USER else None
        if noun in PROPERTIES or not is_alone:
            return None
        return Meaning(role, Strength.WEAK if noun in WEAK else Strength.BARE, place, noun)
    if words.last in CREATORS and not words.before and words.last not in ATTRIBUTES:
        return Meaning(Role.CREATOR)
    return None


def _name(words: _Words) -> Meaning | None:
    if words.last not in NAMES:
        return None
    if not words.before:
        return Meaning(Role.TITLE, place=0 if words.last == "title" else 1)
    subject = words.before[-1]
    if words.last == "username" or (subject in USERS and subject not in DEVICES):
        # The names under which users sign in are unique, and so are ids.
        is_login = words.last == "username" or subject in {"user", "profile"}
        return Meaning(Role.USER if is_login else Role.USER_NAME, Strength.BARE, 3, noun="user")
    if words.begins_with(ACTIONS):
        return Meaning(Role.OF_ACTION)
    if subject in ITEMS and subject not in EXTERNAL:
        return Meaning(Role.TITLE, Strength.WEAK, 2 + ITEMS[subject], subject)
    return Meaning(Role.ATTRIBUTE)


def _property(words: _Words) -> Role:
    """A property, by the words that say of what."""
    if words.has(ACTIONS, PARTICIPLES):
        return Role.OF_ACTION
    if words.last in TEXTS:
        return Role.TEXT
    if words.begins_with(USERS) or (words.last in USERS and words.last in PROPERTIES):
        return Role.OF_USER
    if words.begins_with(ITEMS) or (words.last in ITEMS and words.begins_with({"favorite", "favourite"})):
        return Role.OF_ITEM
    if words.last == "since":
        return Role.OWN_TIME
    return Role.ATTRIBUTE if words.has(ATTRIBUTES) or words.last in PROPERTIES else Role.UNKNOWN
