"""The keys that one process knows, read from the database every second.

A request with a valid key reads nothing from the database. A key that is revoked anywhere is refused everywhere after
`POLL_SECONDS`; one that is new is looked for when it comes. The process that changes a key calls `refresh`. While the
database cannot be read, the keys known last stay valid for `TRUSTED_SECONDS`; then every request that needs one is
answered 503.
"""

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

import structlog
from limits import RateLimitItem

from app.auth.errors import TenantSuspendedError, UnauthorizedError
from app.auth.keys import KEY_LENGTH, ApiKey, digest_of
from app.auth.rate_limits import stored_limit
from app.auth.scopes import ALL_SCOPES, Scope, granted
from app.errors import ReckonError, UnavailableError

log = structlog.get_logger()

POLL_SECONDS = 1.0
TRUSTED_SECONDS = 900.0
SECONDS_BETWEEN_LOOKS = 0.1
"""For keys that are not known."""

SECONDS_BETWEEN_USES = 60.0
"""The time of a key's last use is stored at most this often."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a request, and what the request may do.

    `key_id`: None where the service is open. `tenant`: the catalogue; None: the main one. `user_id`: the only user whom
    the request may concern, by a user token; None: any.
    """

    key_id: str | None
    scopes: frozenset[Scope]
    tenant: str | None = None
    user_id: str | None = None


ANYONE = Caller(None, ALL_SCOPES)
"""The caller of an open service."""


@dataclass(slots=True)
class Use:
    """Of one key by this process. `at`: of the last request, seconds since 1970; 0: none."""

    at: float = 0.0


@dataclass(frozen=True, slots=True)
class HeldKey:
    """A valid key in memory. `limit`: of its requests; None: no limit. `is_suspended`: whether its tenant is."""

    key: ApiKey
    caller: Caller
    valid_until: float
    limit: RateLimitItem | None
    use: Use
    is_suspended: bool

    @classmethod
    def of(cls, key: ApiKey, use: Use, active: Collection[str]) -> "HeldKey":
        """`active`: the tenants whose keys are accepted."""
        valid_until = float("inf") if key.expires_at is None else key.expires_at.timestamp()
        limit = None if key.rate_limit is None else stored_limit(key.rate_limit)
        is_suspended = key.tenant is not None and key.tenant not in active
        return cls(key, Caller(key.key_id, granted(key.scopes), key.tenant), valid_until, limit, use, is_suspended)


@dataclass(frozen=True, slots=True)
class StoredKeys:
    """`version`: changes with every change of a key or of the state of a tenant.

    `keys`: all of them, those that are not valid included. `active`: the tenants that are neither suspended nor being
    created or deleted.
    """

    version: object
    keys: Sequence[ApiKey]
    active: frozenset[str] = frozenset()


class KeyTable(Protocol):
    """Where the keys are stored."""

    def version(self) -> object: ...
    def read(self) -> StoredKeys: ...
    def record_uses(self, used_at: Mapping[str, datetime]) -> None:
        """Stores the times of the last uses by key id."""


@dataclass(frozen=True, slots=True)
class Held:
    """All that is looked up, swapped as one reference. `all_ids`: also those of keys that are not valid any more."""

    version: object
    by_digest: Mapping[bytes, HeldKey]
    by_id: Mapping[str, HeldKey]
    all_ids: frozenset[str]
    origins: frozenset[str]
    is_open: bool
    active: frozenset[str]


class KeyRing:
    """`requires_keys`: whether requests are refused even while no key exists."""

    def __init__(self, table: KeyTable, *, requires_keys: bool = False) -> None:
        self._table = table
        self._requires_keys = requires_keys
        self._refreshing = threading.Lock()
        self._stopped = threading.Event()
        self._stored_uses_at = time.monotonic()
        self._held = Held(None, {}, {}, frozenset(), frozenset(), is_open=False, active=frozenset())
        self._read_at = self._trusted_until = 0.0
        self.refresh()

    @property
    def is_open(self) -> bool:
        """Whether every request is allowed: no key has been created yet."""
        return self._held.is_open

    @property
    def active_tenants(self) -> frozenset[str]:
        """The tenants whose keys are accepted."""
        return self._held.active

    @property
    def origins(self) -> frozenset[str]:
        """The origins of all valid browser keys."""
        return self._held.origins

    def find(self, text: str) -> HeldKey:
        """Return the valid key with this text. Raises `UnauthorizedError`, after the same work for every other text.

        Raises `TenantSuspendedError` for the key of a tenant that is suspended.
        """
        held, now = self._held, time.time()
        self._check_trust()
        # A longer text is no key. Its digest would take longer the longer it is.
        found = held.by_digest.get(digest_of(text[: KEY_LENGTH + 1]))
        # Only the bearer of a key that has just expired gets past the first condition.
        if found is None or now >= found.valid_until:
            raise UnauthorizedError
        if found.is_suspended:
            raise TenantSuspendedError
        found.use.at = now
        return found

    def was_made(self, key_id: str | None) -> bool:
        """Whether there is a key with this id, valid or not."""
        return key_id in self._held.all_ids

    def get(self, key_id: str) -> HeldKey | None:
        """Return the valid key with this id. Raises `UnavailableError` as `find`."""
        self._check_trust()
        found = self._held.by_id.get(key_id)
        return None if found is None or time.time() >= found.valid_until else found

    def _check_trust(self) -> None:
        if time.monotonic() > self._trusted_until:
            raise UnavailableError("the API keys cannot be read from the database")

    def check(self, key_id: str | None) -> None:
        """Check again a key that was found before; None: of an open service. Raises as `find`."""
        if key_id is None:
            return
        found = self.get(key_id)
        if found is None:
            raise UnauthorizedError
        if found.is_suspended:
            raise TenantSuspendedError

    def refresh(self) -> None:
        """Read the keys again if one has changed. Blocks."""
        with self._refreshing:
            self._refresh()

    def refresh_after_change(self) -> None:
        """As `refresh`, after a change that is stored: where the keys cannot be read now, the poll reads them later.

        The request that made the change must not fail: a new key, which its answer alone holds, would be lost.
        """
        self._report("API keys cannot be read", self.refresh)

    def find_again(self, text: str) -> HeldKey:
        """As `find`, for a key that was not found: it may have been created since the last poll. Blocks.

        Keys that were never made must not become a load of the database: it is read at most every
        `SECONDS_BETWEEN_LOOKS`, by one thread.
        """
        is_due = time.monotonic() - self._read_at >= SECONDS_BETWEEN_LOOKS
        if is_due and self._refreshing.acquire(blocking=False):
            try:
                self._refresh()
            except ReckonError:
                pass  # the keys that are known decide
            finally:
                self._refreshing.release()
        return self.find(text)

    def _refresh(self) -> None:
        self._read_at = time.monotonic()
        has_expired = any(each.valid_until <= time.time() for each in self._held.by_id.values())
        if has_expired or self._held.version is None or self._table.version() != self._held.version:
            self._held = self._hold(self._table.read())
        self._trusted_until = self._read_at + TRUSTED_SECONDS

    def _hold(self, stored: StoredKeys) -> Held:
        now, before = datetime.now(UTC), self._held
        uses = {key_id: each.use for key_id, each in before.by_id.items()}
        keys = [
            HeldKey.of(key, uses.get(key.key_id) or Use(), stored.active) for key in stored.keys if key.is_valid(now)
        ]
        return Held(
            version=stored.version,
            by_digest={each.key.digest: each for each in keys},
            by_id={each.key.key_id: each for each in keys},
            all_ids=frozenset(key.key_id for key in stored.keys),
            origins=frozenset(origin for each in keys if not each.is_suspended for origin in each.key.origins),
            # Once there was a key, a service without a valid one is closed: revoking the last one must not open it. A
            # restored database may have none at all, so what this process has seen counts too.
            is_open=not stored.keys and not self._requires_keys and (before.version is None or before.is_open),
            active=stored.active,
        )

    def follow(self) -> threading.Thread:
        """Poll in a thread until `stop`, whatever a poll raises."""

        def run() -> None:
            while not self._stopped.wait(POLL_SECONDS):
                self._report("API keys cannot be read", self.refresh)
                if time.monotonic() - self._stored_uses_at >= SECONDS_BETWEEN_USES:
                    self._report("uses of API keys cannot be stored", self.store_uses)

        thread = threading.Thread(target=run, name="key-poll", daemon=True)
        thread.start()
        return thread

    def store_uses(self) -> None:
        """Store when each key was used last. Blocks."""
        self._stored_uses_at = time.monotonic()
        held = self._held.by_id.values()
        used_at = {each.key.key_id: datetime.fromtimestamp(each.use.at, UTC) for each in held if each.use.at}
        if used_at:
            self._table.record_uses(used_at)

    @staticmethod
    def _report(event: str, act: Callable[[], None]) -> None:
        try:
            act()
        except ReckonError as error:  # the database may be away for a while
            log.warning(event, why=error.detail)
        except Exception:
            # None may end the polling: a revoked key would stay valid.
            log.exception(event)

    def stop(self) -> None:
        self._stopped.set()
