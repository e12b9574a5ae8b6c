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

import numpy as np

from app.errors import InvalidInputError
from app.serving.rows import Rows

SIGNATURE_BYTES = 16
MAX_RETURNED = 1_000
NO_VERSION = 0

PLAIN, PACKED = b"p", b"z"
PLAIN_KEYS = 40
"""Keys of a cursor that is not compressed: two pages of 20."""

# user key (0: not known), snapshot version (0: none), microseconds UTC; the placement's name follows
RECOMMENDATION = struct.Struct("<qqq")


class ForgedTokenError(InvalidInputError):
    type = "token-invalid"
    title = "The token is not one of ours"

    def __init__(self, field: str) -> None:
        super().__init__(f"this {field} was not issued by this service, or not for this request", field=field)


@dataclass(frozen=True, slots=True)
class RecommendationToken:
    """Which answer this was: the user, the snapshot it came from, when, and for which placement."""

    user_key: int | None
    snapshot_version: int | None
    at: int
    placement: str


class TokenSigner:
    def __init__(self, key: bytes) -> None:
        self._key = key

    def recommendation_id(self, token: RecommendationToken) -> str:
        fixed = RECOMMENDATION.pack(token.user_key or 0, token.snapshot_version or NO_VERSION, token.at)
        return self._sign(b"r", fixed + token.placement.encode())

    def read_recommendation_id(self, text: str) -> RecommendationToken:
        payload = self._verify(b"r", text, "recommendation_id")
        user_key, version, at = RECOMMENDATION.unpack_from(payload)
        return RecommendationToken(user_key or None, version or None, at, payload[RECOMMENDATION.size :].decode())

    def cursor(self, user_id: str, returned_keys: Rows) -> str:
        """For the next page of this user: the keys of the items already returned, at most `MAX_RETURNED`.

        A short one is not compressed: that would take longer than the rest of the token.
        """
        keys = returned_keys.copy()  # sorted in place below
        keys.sort()
        if len(keys) <= PLAIN_KEYS and (not len(keys) or keys[-1] >> 32 == 0):
            payload = PLAIN + keys.astype("<u4").tobytes()
        else:
            # Ascending keys differ by little: their steps compress far better than they do.
            payload = PACKED + zlib.compress(np.diff(keys, prepend=0).astype("<u8").tobytes(), level=1)
        return self._sign(b"c" + user_id.encode(), payload)

    def read_cursor(self, user_id: str, text: str) -> Rows:
        payload = self._verify(b"c" + user_id.encode(), text, "cursor")
        if payload.startswith(PLAIN):
            plain: Rows = np.frombuffer(payload, dtype="<u4", offset=1).astype(np.int64)
            return plain
        steps: Rows = np.frombuffer(zlib.decompress(payload[1:]), dtype="<u8").astype(np.int64)
        return np.cumsum(steps)

    def position(self, listing: str, key: int) -> str:
        """For the next page of a listing: the surrogate key after which it continues."""
        return self._sign(b"p" + listing.encode(), key.to_bytes(8, "big"))

    def read_position(self, listing: str, text: str) -> int:
        return int.from_bytes(self._verify(b"p" + listing.encode(), text, "cursor"), "big")

    def moment(self, listing: str, at: int, identifier: str) -> str:
        """For the next page of a listing by time: the time (microseconds UTC) and the id after which it continues."""
        return self._sign(b"t" + listing.encode(), at.to_bytes(8, "big", signed=True) + identifier.encode())

    def read_moment(self, listing: str, text: str) -> tuple[int, str]:
        payload = self._verify(b"t" + listing.encode(), text, "cursor")
        return int.from_bytes(payload[:8], "big", signed=True), payload[8:].decode()

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
