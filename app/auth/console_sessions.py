"""Sessions of the console: a signed cookie that names the key of the operator, and the tokens of the session's forms.

The cookie is base64url(end (8 bytes, seconds since 1970) + start (8 bytes, likewise) + nonce (16 bytes) + id of the key
(12 bytes) + signature). The signature is 32 bytes of keyed BLAKE2b (RFC 7693) under the key of the database, so that
every process accepts the sessions of the others. Nothing is stored: a session ends with its time, or when its key is
revoked or expires. Work makes its end later, up to `LONGEST_SECONDS` after its start, so that a copied cookie is no use
for ever.
"""

import base64
import binascii
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.auth.user_tokens import ID_CHARACTERS, NO_KEY

SECONDS, LONGEST_SECONDS = 12 * 3_600, 7 * 86_400
TIME_BYTES, NONCE_BYTES, SIGNATURE_BYTES = 8, 16, 32
COOKIE_CHARACTERS = 102
"""Of the 76 bytes above, without padding."""

SESSION, FORM = b"console session", b"console form"
"""What a signature is for: that of a form is no cookie."""


@dataclass(frozen=True, slots=True)
class ConsoleSession:
    """`cookie`: its text. `key_id`: None where the service was open. `form_token`: what its forms must send along."""

    cookie: str
    key_id: str | None
    form_token: str


@dataclass(frozen=True, slots=True)
class ConsoleSessions:
    """`token_key`: returns the key of the signatures, which a restore may change."""

    token_key: Callable[[], bytes]

    def start(self, key_id: str | None) -> ConsoleSession:
        now = int(time.time())
        return self._session(
            _bytes(now + SECONDS) + _bytes(now) + secrets.token_bytes(NONCE_BYTES) + (key_id or NO_KEY).encode()
        )

    def read(self, cookie: str, *, renews: bool = True) -> ConsoleSession | None:
        """Return the session of the cookie; if it `renews` it, with a later end once half of its time is over.

        None if the service did not make it, or it has ended.
        """
        if len(cookie) != COOKIE_CHARACTERS:
            return None
        try:
            signed = base64.b64decode(cookie + "==", altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        payload, signature = signed[:-SIGNATURE_BYTES], signed[-SIGNATURE_BYTES:]
        if not hmac.compare_digest(signature, self._signature(SESSION, payload)):
            return None
        now = time.time()
        end, start = (int.from_bytes(payload[place : place + TIME_BYTES], "big") for place in (0, TIME_BYTES))
        if end <= now:
            return None
        # Who works on is not logged out; forms that were made before stay valid.
        if renews and end - now <= SECONDS / 2:
            payload = _bytes(min(int(now) + SECONDS, start + LONGEST_SECONDS)) + payload[TIME_BYTES:]
        return self._session(payload)

    def _session(self, payload: bytes) -> ConsoleSession:
        key_id = payload[-ID_CHARACTERS:].decode()
        return ConsoleSession(
            cookie=_text(payload + self._signature(SESSION, payload)),
            key_id=None if key_id == NO_KEY else key_id,
            form_token=_text(self._signature(FORM, payload[TIME_BYTES:])),
        )

    def _signature(self, purpose: bytes, payload: bytes) -> bytes:
        key = self.token_key()
        return hashlib.blake2b(payload, digest_size=SIGNATURE_BYTES, key=key, person=purpose).digest()


def _bytes(seconds: int) -> bytes:
    return seconds.to_bytes(TIME_BYTES, "big")


def is_token_of(session: ConsoleSession, form_token: str) -> bool:
    return hmac.compare_digest(form_token.encode(), session.form_token.encode())


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
