"""API keys: their text, and what is kept of them.

    rk_4f1d09c2ab77_2tS0...Gk9Qz1B3xYp
    |  |            |             |
    |  id           secret        check digits: CRC-32 of all before them

The prefix is `rk` for a key that is a secret and `rb` for one that stands in the pages of a browser. The id is public:
lists, logs and the audit log name it. Scanners for leaked secrets find keys by `app.texts.API_KEY`, and dismiss texts
whose check digits are wrong.
"""

import hashlib
import secrets
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from app.auth.rate_limits import check_limit
from app.auth.scopes import OF_USERS, Scope, parse_scopes
from app.errors import InvalidInputError
from app.texts import API_KEY, is_origin

KeyKind = Literal["secret", "browser"]

PREFIXES: dict[KeyKind, str] = {"secret": "rk", "browser": "rb"}
ID_BYTES = 6
SECRET_BITS = 256

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_DIGITS, CHECK_DIGITS = 43, 6
"""Of base 62: 62^43 > 2^256, 62^6 > 2^32."""

KEY_LENGTH = 65
KEY_ID = slice(3, 15)
"""The place of the id in the text of a key."""

KEY_EXAMPLE = "rk_4f1d09c2ab77_EXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLEEXAMPLE0000000"
"""Its check digits are wrong, so that no scanner takes it for a key."""

MAX_NOTE = 200
LONGEST_LIFETIME = timedelta(days=3_650)
BROWSER_LIMIT = "20/second"
"""Of a browser key, for each of its users, unless another is given."""


@dataclass(frozen=True, slots=True)
class ApiKey:
    """What is stored of a key; the key itself is not.

    `digest`: SHA-256 of the whole text. `origins`: of the pages that may use a browser key; empty for a secret one.
    `note`: whose key it is and what for. `rate_limit`: such as `100/second`; None: no limit. `tenant`: the name of the
    catalogue that the key selects; None: the main one.
    """

    key_id: str
    digest: bytes
    kind: KeyKind
    scopes: tuple[Scope, ...]
    origins: tuple[str, ...]
    note: str
    rate_limit: str | None
    tenant: str | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_valid(self, now: datetime) -> bool:
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


def new_key(
    *,
    scopes: Iterable[str],
    created_at: datetime,
    note: str = "",
    origins: Iterable[str] = (),
    rate_limit: str | None = None,
    lifetime: timedelta | None = None,
    tenant: str | None = None,
) -> tuple[str, ApiKey]:
    """Return the text of a new key and what is to be stored of it. With `origins` it is a browser key.

    `rate_limit`: None for that of a browser key, and for no limit of a secret one. Raises `InvalidInputError`.
    """
    of_pages = tuple(dict.fromkeys(origin.lower() for origin in origins))
    kind: KeyKind = "browser" if of_pages else "secret"
    allowed = parse_scopes(scopes)
    if kind == "browser":
        _check_browser(of_pages, allowed)
        rate_limit = rate_limit or BROWSER_LIMIT
    if rate_limit is not None:
        check_limit(rate_limit)
    if len(note) > MAX_NOTE or not (note.isprintable()):
        raise InvalidInputError(f"a note has at most {MAX_NOTE} printable characters", field="note")
    if lifetime is not None and not timedelta(0) < lifetime <= LONGEST_LIFETIME:
        raise InvalidInputError(f"a key lives between a second and {LONGEST_LIFETIME.days} days", field="expires_in")
    text = new_text(kind)
    key = ApiKey(
        key_id=text[KEY_ID],
        digest=digest_of(text),
        kind=kind,
        scopes=allowed,
        origins=of_pages,
        note=note,
        rate_limit=rate_limit,
        tenant=tenant,
        created_at=created_at,
        expires_at=None if lifetime is None else created_at + lifetime,
    )
    return text, key


def _check_browser(origins: Iterable[str], scopes: Iterable[Scope]) -> None:
    for origin in origins:
        if not is_origin(origin):
            message = f"{origin!r} is not an origin: SCHEME://HOST[:PORT] without a path or a slash at its end"
            raise InvalidInputError(message, field="origins")
    if excess := [scope for scope in scopes if scope not in OF_USERS]:
        message = (
            f"a browser key is public and cannot have the scope {excess[0]}; it may have {', '.join(sorted(OF_USERS))}"
        )
        raise InvalidInputError(message, field="scopes")


def new_text(kind: KeyKind) -> str:
    """Return the text of a new key."""
    secret = _digits(secrets.randbits(SECRET_BITS), SECRET_DIGITS)
    return _with_check(f"{PREFIXES[kind]}_{secrets.token_hex(ID_BYTES)}_{secret}")


def digest_of(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def id_of(text: str) -> str | None:
    """Return the id in the text of a key; None if it is no such text or its check digits are wrong."""
    return text[KEY_ID] if API_KEY.fullmatch(text) and _with_check(text[:-CHECK_DIGITS]) == text else None


def _with_check(body: str) -> str:
    return body + _digits(zlib.crc32(body.encode()), CHECK_DIGITS)


def _digits(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
