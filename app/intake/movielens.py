"""The layouts MovieLens was published in, each recognised by what its first line and its name look like.

ml-latest, ml-20m to ml-32m: CSV with a header. ml-1m, ml-10m: `.dat`, separated by `::`. ml-100k: `u.data` and its
splits (`u1.base`, `ua.test`), separated by tabs; `u.item` and `u.user`, separated by `|`. Sources: the README files of
the data sets (https://files.grouplens.org/datasets/movielens/).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from app.errors import InvalidInputError
from app.intake.blocks import Block, Column
from app.intake.chunks import as_text, read_chunks
from app.intake.columns import Kind
from app.intake.delimited import DelimitedDialect, read_delimited, split_line
from app.intake.files import InputFile
from app.intake.tables import InputTable

FAMILIES = (
    ({"ratings.csv", "movies.csv"}, ("ratings.csv", "movies.csv")),
    ({"ratings.dat"}, ("ratings.dat", "movies.dat", "users.dat")),
    ({"u.data"}, ("u.data", "u.item", "u.user")),
)
"""What a data set is known by, and what of its folder is read; other files repeat it or have no use here."""

RATING_NAMES = ["user_id", "item_id", "value", "rated_at"]
_TABS = DelimitedDialect("\t", is_quoted=False)
_COLONS = DelimitedDialect("::", is_quoted=False, is_latin1=True)
_BARS = DelimitedDialect("|", is_quoted=False, is_latin1=True)
_NUMBERS = re.compile(r"\d+(\.\d+)?")
_MIN_EPOCH_DIGITS = 9
_SPLIT_NAME_100K = re.compile(r"u[1-5ab]?\.(data|base|test)")

_TITLE_WITH_YEAR = re.compile(r"(?P<title>.*\S)\s*\((?P<year>\d{4})(?:[-\u2013]\d{0,4})?\)", re.DOTALL)
NO_GENRES = "(no genres listed)"

GENRES_100K = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
_FILM_NAMES_100K = ["item_id", "title", "release_date", "video_release_date", "imdb_url"]
_USER_NAMES_100K = ["user_id", "age", "gender", "occupation", "zip_code"]
_USER_NAMES_1M = ["user_id", "gender", "age", "occupation", "zip_code"]

AGE_GROUPS_1M = {
    "1": "Under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55", "56": "56+",
}  # fmt: skip
OCCUPATIONS_1M = [
    *("other", "academic/educator", "artist", "clerical/admin", "college/grad student", "customer service"),
    *("doctor/health care", "executive/managerial", "farmer", "homemaker", "K-12 student", "lawyer", "programmer"),
    *("retired", "sales/marketing", "scientist", "self-employed", "technician/engineer", "tradesman/craftsman"),
    *("unemployed", "writer"),
]


def recognise(file: InputFile, line: str, siblings: Mapping[str, InputFile]) -> InputTable | None:
    """`file` as a MovieLens table if its first line is one's; `siblings`: the files beside it, by name."""
    if "::" in line:
        return _dat(file, split_line(line, _COLONS))
    if "|" in line:
        return _bars(file, split_line(line, _BARS), siblings)
    if [name.strip('"') for name in line.split(",")] == ["movieId", "title", "genres"]:
        return _table(file, Kind.ITEMS, ["item_id", "title", "genres"], DelimitedDialect(), films, has_header=True)
    if _are_ratings(line.split("\t")) or _SPLIT_NAME_100K.fullmatch(file.name):
        return _table(file, Kind.RATINGS, RATING_NAMES, _TABS)
    return None


def _dat(file: InputFile, fields: list[str]) -> InputTable | None:
    if _are_ratings(fields) or file.name == "ratings.dat":
        return _table(file, Kind.RATINGS, RATING_NAMES, _COLONS)
    if len(fields) == 3:  # noqa: PLR2004  MovieID::Title::Genres
        return _table(file, Kind.ITEMS, ["item_id", "title", "genres"], _COLONS, films)
    if len(fields) == len(_USER_NAMES_1M) and fields[1] in {"M", "F"}:
        return _table(file, Kind.USERS, _USER_NAMES_1M, _COLONS, _users_1m)
    return None


def _bars(file: InputFile, fields: list[str], siblings: Mapping[str, InputFile]) -> InputTable | None:
    if len(fields) == len(_FILM_NAMES_100K) + len(GENRES_100K) and set(fields[-len(GENRES_100K) :]) <= {"0", "1"}:
        genres = _genres_100k(siblings)
        return _table(file, Kind.ITEMS, [*_FILM_NAMES_100K, *genres], _BARS, _Films100k(genres))
    if len(fields) == len(_USER_NAMES_100K) and fields[2] in {"M", "F"}:
        return _table(file, Kind.USERS, _USER_NAMES_100K, _BARS)
    return None


def _are_ratings(fields: list[str]) -> bool:
    """Four numbers, of which the last is a time."""
    is_numeric = all(_NUMBERS.fullmatch(part) for part in fields)
    return len(fields) == len(RATING_NAMES) and is_numeric and len(fields[3]) >= _MIN_EPOCH_DIGITS


def _table(
    file: InputFile,
    kind: Kind,
    names: list[str],
    dialect: DelimitedDialect,
    adapt: Callable[[Block], Block] | None = None,
    *,
    has_header: bool = False,
) -> InputTable:
    def blocks() -> Iterator[Block]:
        read = read_delimited(file, names, dialect, has_header=has_header)
        return read if adapt is None else map(adapt, read)

    return InputTable(file, kind, blocks)


def films(block: Block) -> Block:
    """Item ids, titles without their year, years, categories: of item_id, `Title (year)` and `Genre|Genre`."""
    titles, years = _titles_and_years(block.column("title"))
    genres = [None if listed == NO_GENRES else listed for listed in block.column("genres")]
    columns = {"item_id": block.column("item_id"), "title": titles, "categories": genres, "year": years}
    return Block(block.file, columns, block.lines, block.rejected)


def _titles_and_years(column: Column) -> tuple[list[str], list[str | None]]:
    """`Heat (1995)` is Heat of 1995; of `(2006-2007)` the year it began."""
    found = [_TITLE_WITH_YEAR.fullmatch(title.strip()) for title in column]
    titles = [match["title"] if match else title.strip() for match, title in zip(found, column, strict=True)]
    return titles, [match["year"] if match else None for match in found]


@dataclass(frozen=True, slots=True)
class _Films100k:
    """`u.item`: a flag for each genre; dates and an address as attributes; the date's year where no title has one."""

    genres: list[str]

    def __call__(self, block: Block) -> Block:
        titles, years = _titles_and_years(block.column("title"))
        dates = block.column("release_date")  # 01-Jan-1995
        years = [year or date[-4:] or None for year, date in zip(years, dates, strict=True)]
        flags = zip(*(block.column(genre) for genre in self.genres), strict=True)
        columns = {
            "item_id": block.column("item_id"),
            "title": titles,
            "categories": [self._named(row) for row in flags],
            "year": years,
            "release_date": dates,
            "imdb_url": block.column("imdb_url"),
        }
        return Block(block.file, columns, block.lines, block.rejected)

    def _named(self, flags: tuple[str, ...]) -> list[str]:
        return [genre for genre, flag in zip(self.genres, flags, strict=True) if flag == "1" and genre != "unknown"]


def _genres_100k(siblings: Mapping[str, InputFile]) -> list[str]:
    """In the order of the flags; `u.genre` holds lines of `name|number`."""
    if "u.genre" not in siblings:
        return GENRES_100K
    text = "".join(map(as_text, read_chunks(siblings["u.genre"])))
    pairs = [line.rpartition("|") for line in text.splitlines() if "|" in line]
    names = [name for name, _, _ in sorted(pairs, key=lambda pair: int(pair[2]) if pair[2].isdigit() else -1)]
    if len(names) != len(GENRES_100K):
        raise InvalidInputError(f"u.genre names {len(names)} genres, u.item has {len(GENRES_100K)} flags", field="path")
    return names


def _users_1m(block: Block) -> Block:
    """Codes of age groups and occupations, spelled out; the age itself stays the lower end of its group."""
    ages, occupations = block.column("age"), block.column("occupation")
    columns = {
        "user_id": block.column("user_id"),
        "age": ages,
        "age_group": [AGE_GROUPS_1M.get(age) for age in ages],
        "gender": block.column("gender"),
        "occupation": [_occupation_1m(code) for code in occupations],
        "zip_code": block.column("zip_code"),
    }
    return Block(block.file, columns, block.lines, block.rejected)


def _occupation_1m(code: str) -> str:
    return OCCUPATIONS_1M[int(code)] if code.isdigit() and int(code) < len(OCCUPATIONS_1M) else code
