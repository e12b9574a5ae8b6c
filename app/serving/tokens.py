"""Signed tokens, which carry what an answer must remember, so that a GET stores nothing.

A token is base64url(payload + 16 bytes of keyed BLAKE2b (RFC 7693) over its kind and payload), under the key made when
the database was migrated. A tampered token, one of another kind or of another database does not verify.
"""

import base64
import binascii
import hashlib
import hmac
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from app.errors import InvalidInputError
from app.serving.rows import Rows

SIGNATURE_BYTES = 16
MAX_RETURNED = 1_000
"""Items of all pages up to a cursor, which names them."""
NO_VERSION = 0

PLAIN, PACKED = b"p", b"z"
PLAIN_KEYS = 40
"""Keys of a cursor that is not compressed: two pages of 20."""

# owner, snapshot version (0: none), microseconds UTC; the placement's name follows
RECOMMENDATION = struct.Struct("<8sqq")

NO_OWNER = bytes(8)
"""Of a list that was made for a guest without an id."""


class ForgedTokenError(InvalidInputError):
    type = "token-invalid"
    title = "The token is not one of ours"

    def __init__(self, field: str) -> None:
        super().__init__(f"this {field} was not issued by this service, or not for this request", field=field)


@dataclass(frozen=True, slots=True)
class RecommendationToken:
    """Which answer this was: for whom (see `TokenSigner.owner`), from which snapshot, when, and for which placement."""

    owner: bytes
    snapshot_version: int | None
    at: int
    placement: str


class Paging(NamedTuple):
    """How a list goes on: `next_cursor`, or None where nothing more is to come or `limit_reached`."""

    next_cursor: str | None
    limit_reached: bool


LAST_PAGE = Paging(None, limit_reached=False)

N_GENERATION_BYTES = 8
"""Of a digest of the generation, in a recommendation id."""


class TokenSigner:
    """Signs with the key of the database, and for its generation: keys in a token mean something else in another."""

    def __init__(self, key: bytes, generation: str = "") -> None:
        self.follow(generation, key)

    def follow(self, generation: str, key: bytes) -> None:
        """Sign for this generation of the database and accept no cursor of another from now on."""
        self._key, self._generation = key, generation.encode()
        self._digest = hashlib.blake2b(self._generation, digest_size=N_GENERATION_BYTES).digest()

    def owner(self, user_id: str | None) -> bytes:
        """Identifies the user in a recommendation id.

        Unlike the surrogate key, it exists for a user who is not stored, and remains when a guest is merged. It is
        keyed, because the id is visible to the visitor of a page, who should not learn the user's id from it.
        """
        if user_id is None:
            return NO_OWNER
        return hashlib.blake2b(user_id.encode(), digest_size=len(NO_OWNER), key=self._key).digest()

    def recommendation_id(self, token: RecommendationToken) -> str:
        fixed = RECOMMENDATION.pack(token.owner, token.snapshot_version or NO_VERSION, token.at)
        return self._sign(b"o", self._digest + fixed + token.placement.encode())

    def read_recommendation_id(self, text: str) -> RecommendationToken:
        signed = self._verify(b"o", text, "recommendation_id")
        digest, payload = signed[:N_GENERATION_BYTES], signed[N_GENERATION_BYTES:]
        owner, version, at = RECOMMENDATION.unpack_from(payload)
        if digest != self._digest:
            # Made before the database was restored: the snapshot may be another now.
            version = NO_VERSION
        return RecommendationToken(owner, version or None, at, payload[RECOMMENDATION.size :].decode())

    def paging(self, listing: str, returned_keys: Rows, shown_keys: Rows, limit: int) -> Paging:
        """How a list goes on after a page of `shown_keys`, where more items are to come.

        There is no cursor if it could not hold the items of one more page of `limit`.
        """
        if len(returned_keys) + len(shown_keys) > MAX_RETURNED - limit:
            return Paging(None, limit_reached=True)
        return Paging(self.cursor(listing, np.concatenate((returned_keys, shown_keys))), limit_reached=False)

    def cursor(self, listing: str, returned_keys: Rows) -> str:
        """For the next page of a list: the keys of the items already returned, at most `MAX_RETURNED`.

        `listing`: the question that the list answers, as text; the cursor is valid for the same question alone.
        A short cursor is not compressed: that would take longer than the rest of the token.
        """
        keys = returned_keys.copy()  # sorted in place below
        keys.sort()
        if len(keys) <= PLAIN_KEYS and (not len(keys) or keys[-1] >> 32 == 0):
            payload = PLAIN + keys.astype("<u4").tobytes()
        else:
            # Ascending keys differ by little: their steps compress far better than they do.
            payload = PACKED + zlib.compress(np.diff(keys, prepend=0).astype("<u8").tobytes(), level=1)
        return self._sign(self._of_listing(b"c", listing), payload)

    def read_cursor(self, listing: str, text: str) -> Rows:
        payload = self._verify(self._of_listing(b"c", listing), text, "cursor")
        if payload.startswith(PLAIN):
            plain: Rows = np.frombuffer(payload, dtype="<u4", offset=1).astype(np.int64)
            return plain
        steps: Rows = np.frombuffer(zlib.decompress(payload[1:]), dtype="<u8").astype(np.int64)
        return np.cumsum(steps)

    def position(self, listing: str, key: int) -> str:
        """For the next page of a listing: the surrogate key after which it continues."""
        return self._sign(self._of_listing(b"p", listing), key.to_bytes(8, "big"))

    def read_position(self, listing: str, text: str) -> int:
        return int.from_bytes(self._verify(self._of_listing(b"p", listing), text, "cursor"), "big")

    def moment(self, listing: str, at: int, identifier: str) -> str:
        """For the next page of a listing by time: the time (microseconds UTC) and the id after which it continues."""
        return self._sign(self._of_listing(b"t", listing), at.to_bytes(8, "big", signed=True) + identifier.encode())

    def read_moment(self, listing: str, text: str) -> tuple[int, str]:
        payload = self._verify(self._of_listing(b"t", listing), text, "cursor")
        return int.from_bytes(payload[:8], "big", signed=True), payload[8:].decode()

    def _of_listing(self, kind: bytes, listing: str) -> bytes:
        # Neither an id nor a generation contains NUL.
        return kind + self._generation + b"\0" + listing.encode()

    def _sign(self, kind: bytes, payload: bytes) -> str:
        signed = payload + self._signature(kind, payload)
        return base64.urlsafe_b64encode(signed).rstrip(b"=").decode()

    def _verify(self, kind: bytes, text: str, field: str) -> bytes:
        try:
            signed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise ForgedTokenError(field) from None
        payload, signature = signed[:-SIGNATURE_BYTES], signed[-SIGNATURE_BYTES:]
        # In constant time: how long a comparison takes must not tell how much of a signature is right.
        if not hmac.compare_digest(signature, self._signature(kind, payload)):
            raise ForgedTokenError(field)
        return payload

    def _signature(self, kind: bytes, payload: bytes) -> bytes:
        # The length of the kind makes the split between kind and payload unambiguous.
        signed = len(kind).to_bytes(4, "big") + kind + payload
        return hashlib.blake2b(signed, digest_size=SIGNATURE_BYTES, key=self._key).digest()
