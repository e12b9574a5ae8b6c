"""Recognises and converts all layouts in which MovieLens was published.

- ml-latest, ml-20m to ml-32m: CSV with a header.
- ml-1m, ml-10m: `.dat` files separated by `::`.
- ml-100k: `u.data` and its splits (`u1.base`, `ua.test`) separated by tabs; `u.item` and `u.user` separated by `|`.

Sources: the README files of the data sets (https://files.grouplens.org/datasets/movielens/).
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from app.errors import InvalidInputError
from app.intake.blocks import Block, Column, RawTable
from app.intake.column_names.columns import Kind
from app.intake.files.chunks import first_line, read_chunks
from app.intake.files.encodings import decode_utf8
from app.intake.files.listing import InputFile
from app.intake.formats.delimited import DelimitedDialect, read_delimited, split_line
from app.intake.hints import FileHints

FAMILIES = (
    ({"ratings.csv", "movies.csv"}, ("ratings.csv", "movies.csv", "tags.csv")),
    ({"ratings.dat"}, ("ratings.dat", "movies.dat", "users.dat", "tags.dat")),
    ({"u.data"}, ("u.data", "u.item", "u.user")),
)
"""For each data set the files that identify it and the files to import; its other files are not needed."""

_RATING_NAMES = ["user_id", "item_id", "value", "rated_at"]
# Titles of these layouts contain plain quotes, so no field is parsed as quoted.
_TABS = DelimitedDialect("\t", is_quoted=False)
_COLONS = DelimitedDialect("::", is_quoted=False, is_latin1=True)
_BARS = DelimitedDialect("|", is_quoted=False, is_latin1=True)
_NUMBERS = re.compile(r"\d+(\.\d+)?")
# Epoch seconds have at least nine digits from 1973 on; MovieLens began in 1995.
_MIN_EPOCH_DIGITS = 9
_SPLIT_NAME_100K = re.compile(r"u[1-5ab]?\.(data|base|test)")

# `Heat (1995)`, and series such as `Lost (2004-2010)` or `Lost (2004-)`, of which the first year is taken.
_TITLE_WITH_YEAR = re.compile(r"(?P<title>.*\S)\s*\((?P<year>\d{4})(?:[-\u2013]\d{0,4})?\)", re.DOTALL)
NO_GENRES = "(no genres listed)"

GENRES_100K = [
    *("unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama"),
    *("Fantasy", "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western"),
]
# Columns of `u.item`, `u.user` and `users.dat`, which have no header, in the order of their README files.
_MOVIE_NAMES_100K = ["item_id", "title", "release_date", "video_release_date", "imdb_url"]
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


def open_movielens(file: InputFile, siblings: Mapping[str, InputFile], hints: FileHints) -> RawTable | None:
    """Open a file that has a MovieLens layout; see `registry.Open`.

    Raises `InvalidInputError` where `u.genre` does not fit `u.item`.
    """
    # Names given by the user take precedence over these layouts.
    if hints.columns.is_given:
        return None
    line = first_line(file)
    if "::" in line:
        return _double_colon_table(file, split_line(line, _COLONS))
    if "|" in line:
        return _bar_table(file, split_line(line, _BARS), siblings)
    if [name.strip('"') for name in line.split(",")] == ["movieId", "title", "genres"]:
        return _table(
            file, Kind.ITEMS, ["item_id", "title", "genres"], DelimitedDialect(), adapt_movies, has_header=True
        )
    # The name of a split identifies ml-100k even where its first row is damaged.
    if _are_ratings(line.split("\t")) or _SPLIT_NAME_100K.fullmatch(file.name):
        return _table(file, Kind.RATINGS, _RATING_NAMES, _TABS)
    return None


def _double_colon_table(file: InputFile, fields: list[str]) -> RawTable | None:
    if _are_ratings(fields) or file.name == "ratings.dat":
        return _table(file, Kind.RATINGS, _RATING_NAMES, _COLONS)
    if len(fields) == 3:  # noqa: PLR2004  MovieID::Title::Genres
        return _table(file, Kind.ITEMS, ["item_id", "title", "genres"], _COLONS, adapt_movies)
    if len(fields) == len(_USER_NAMES_1M) and fields[1] in {"M", "F"}:
        return _table(file, Kind.USERS, _USER_NAMES_1M, _COLONS, _users_1m)
    return None


def _bar_table(file: InputFile, fields: list[str], siblings: Mapping[str, InputFile]) -> RawTable | None:
    if len(fields) == len(_MOVIE_NAMES_100K) + len(GENRES_100K) and set(fields[-len(GENRES_100K) :]) <= {"0", "1"}:
        genres = _genres_100k(siblings)
        return _table(file, Kind.ITEMS, [*_MOVIE_NAMES_100K, *genres], _BARS, _MovieAdapter100k(genres))
    if len(fields) == len(_USER_NAMES_100K) and fields[2] in {"M", "F"}:
        return _table(file, Kind.USERS, _USER_NAMES_100K, _BARS)
    return None


def _are_ratings(fields: list[str]) -> bool:
    """Whether the fields are four numbers of which the last is a time."""
    is_numeric = all(_NUMBERS.fullmatch(part) for part in fields)
    return len(fields) == len(_RATING_NAMES) and is_numeric and len(fields[3]) >= _MIN_EPOCH_DIGITS


def _table(
    file: InputFile,
    kind: Kind,
    names: list[str],
    dialect: DelimitedDialect,
    adapt: Callable[[Block], Block] | None = None,
    *,
    has_header: bool = False,
) -> RawTable:
    """Return the table of `file`; `adapt` converts each block to the columns that Reckon knows."""

    def blocks() -> Iterator[Block]:
        read = read_delimited(file, names, dialect, has_header=has_header)
        return read if adapt is None else map(adapt, read)

    return RawTable(file, names, blocks, kind)


def adapt_movies(block: Block) -> Block:
    """Convert the columns item_id, title and genres to the columns item_id, title, categories and year.

    A title has the form `Title (year)`, where the year becomes None if it is missing. Genres have the form
    `Genre|Genre`; the categories of a movie without genres are None.
    """
    titles, years = _titles_and_years(block.column("title"))
    genres = [None if listed == NO_GENRES else listed for listed in block.column("genres")]
    columns = {"item_id": block.column("item_id"), "title": titles, "categories": genres, "year": years}
    return replace(block, columns=columns)


def _titles_and_years(column: Column) -> tuple[list[str], list[str | None]]:
    """Split the (n,) titles into titles without year, and years; None where a title has no year."""
    matches = [_TITLE_WITH_YEAR.fullmatch(title.strip()) for title in column]
    titles = [match["title"] if match else title.strip() for match, title in zip(matches, column, strict=True)]
    return titles, [match["year"] if match else None for match in matches]


@dataclass(frozen=True, slots=True)
class _MovieAdapter100k:
    """Converts blocks of `u.item`, which has one column of flags per genre, to the columns of items.

    The release date and the IMDb address become attributes.
    """

    genres: list[str]

    def __call__(self, block: Block) -> Block:
        titles, years = _titles_and_years(block.column("title"))
        # A title without a year takes the year of the release date, which has the form 01-Jan-1995.
        dates = block.column("release_date")
        years = [year or date[-4:] or None for year, date in zip(years, dates, strict=True)]
        flags = zip(*(block.column(genre) for genre in self.genres), strict=True)
        columns = {
            "item_id": block.column("item_id"),
            "title": titles,
            "categories": [self._genres_of(row) for row in flags],
            "year": years,
            "release_date": dates,
            "imdb_url": block.column("imdb_url"),
        }
        return replace(block, columns=columns)

    # The genre "unknown" marks the absence of a genre, so it is not a category.
    def _genres_of(self, flags: tuple[str, ...]) -> list[str]:
        return [genre for genre, flag in zip(self.genres, flags, strict=True) if flag == "1" and genre != "unknown"]


def _genres_100k(siblings: Mapping[str, InputFile]) -> list[str]:
    """Return the genres in the order of their flags, from the lines `name|number` of `u.genre` if it is there."""
    if "u.genre" not in siblings:
        return GENRES_100K
    text = "".join(map(decode_utf8, read_chunks(siblings["u.genre"])))
    pairs = [line.rpartition("|") for line in text.splitlines() if "|" in line]
    # The number is the position of the flag in `u.item`.
    names = [name for name, _, _ in sorted(pairs, key=lambda pair: int(pair[2]) if pair[2].isdigit() else -1)]
    if len(names) != len(GENRES_100K):
        raise InvalidInputError(
            f"u.genre names {len(names)} genres, but u.item has {len(GENRES_100K)} columns of genres", field="path"
        )
    return names


def _users_1m(block: Block) -> Block:
    """Replace the codes of occupations by their names, and add the names of age groups."""
    # The age is the lower end of its group; it is kept, because a number is comparable across data sets.
    ages, occupations = block.column("age"), block.column("occupation")
    columns = {
        "user_id": block.column("user_id"),
        "age": ages,
        "age_group": [AGE_GROUPS_1M.get(age) for age in ages],
        "gender": block.column("gender"),
        "occupation": [_occupation_1m(code) for code in occupations],
        "zip_code": block.column("zip_code"),
    }
    return replace(block, columns=columns)


def _occupation_1m(code: str) -> str:
    """Return the name of an occupation; an unknown code is returned unchanged."""
    return OCCUPATIONS_1M[int(code)] if code.isdigit() and int(code) < len(OCCUPATIONS_1M) else code
