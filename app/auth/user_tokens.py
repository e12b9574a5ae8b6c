"""User tokens, with which a browser key may ask for one user: `ut_` and base64url(payload + signature).

The payload is the end (8 bytes, seconds since 1970), the id of the secret key that made the token (12 bytes), a byte of
scopes, and the id of the user. The signature is 32 bytes of keyed BLAKE2b (RFC 7693) over it and the name of the
tenant, under the key of the database, so that a token of one tenant means nothing to another. It ends earlier if the
key that made it is revoked.
"""

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable
from dataclasses import dataclass

from app.auth.errors import UserTokenError
from app.auth.key_ring import Caller, KeyRing
from app.auth.scopes import OF_USERS, Scope

PREFIX = "ut_"
SIGNATURE_BYTES = 32
END_BYTES, ID_CHARACTERS = 8, 12
FIXED_BYTES = END_BYTES + ID_CHARACTERS + 1
NO_KEY = "-" * ID_CHARACTERS
"""Stands for the key in tokens of an open service, which no service with keys accepts."""

BITS: dict[Scope, int] = {"recommendations:read": 1, "ratings:write": 2}
MAX_SECONDS = 86_400
MAX_LENGTH = 1_024


@dataclass(frozen=True, slots=True)
class UserTokens:
    """`token_key`: returns the key of the signatures, which a restore may change. `keys`: who may have made a token."""

    token_key: Callable[[], bytes]
    keys: KeyRing

    def make(self, caller: Caller, user_id: str, seconds: int) -> tuple[str, int]:
        """Return a token for the user by this caller, and its end in seconds since 1970."""
        end = int(time.time()) + seconds
        scopes = sum(BITS[scope] for scope in OF_USERS & caller.scopes)
        fixed = end.to_bytes(END_BYTES, "big") + (caller.key_id or NO_KEY).encode() + bytes([scopes])
        payload = fixed + user_id.encode()
        signed = payload + self._signature(payload, caller.tenant)
        return PREFIX + base64.urlsafe_b64encode(signed).rstrip(b"=").decode(), end

    def narrowed(self, caller: Caller, text: str) -> Caller:
        """Return the caller with no more rights than the token. Raises `UserTokenError` if it is not valid."""
        payload = self._verified(text, caller.tenant)
        end = int.from_bytes(payload[:END_BYTES], "big")
        maker = self.keys.get(payload[END_BYTES : FIXED_BYTES - 1].decode())
        if maker is None or time.time() >= end:
            raise UserTokenError
        allowed = {scope for scope, bit in BITS.items() if payload[FIXED_BYTES - 1] & bit}
        scopes = caller.scopes & allowed & maker.caller.scopes
        return Caller(caller.key_id, scopes, caller.tenant, payload[FIXED_BYTES:].decode())

    def _verified(self, text: str, tenant: str | None) -> bytes:
        if not text.startswith(PREFIX) or len(text) > MAX_LENGTH:
            raise UserTokenError
        encoded = text.removeprefix(PREFIX)
        try:
            signed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise UserTokenError from None
        payload, signature = signed[:-SIGNATURE_BYTES], signed[-SIGNATURE_BYTES:]
        if len(payload) <= FIXED_BYTES or not hmac.compare_digest(signature, self._signature(payload, tenant)):
            raise UserTokenError
        return payload

    def _signature(self, payload: bytes, tenant: str | None) -> bytes:
        # The length separates the name from the payload. `person` keeps these signatures apart from those of cursors.
        name = (tenant or "").encode()
        signed = len(name).to_bytes(2, "big") + name + payload
        return hashlib.blake2b(signed, digest_size=SIGNATURE_BYTES, key=self.token_key(), person=b"user token").digest()
