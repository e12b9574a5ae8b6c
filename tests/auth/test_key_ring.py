"""Which keys a process accepts."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from app.auth import key_ring
from app.auth.errors import TenantSuspendedError, UnauthorizedError
from app.auth.key_ring import KeyRing, StoredKeys
from app.auth.keys import ApiKey, new_text
from app.auth.scopes import ALL_SCOPES
from app.errors import UnavailableError
from tests.support.keys import SHOP, expired, made_key
from tests.support.service import wait_until


class Table:
    """Keys in memory. `is_away`: the database does not answer."""

    def __init__(self, *keys: ApiKey) -> None:
        self.keys = list(keys)
        self.n_changes = 0
        self.is_away = False
        self.uses: dict[str, datetime] = {}

    def change(self, *keys: ApiKey) -> None:
        self.keys, self.n_changes = list(keys), self.n_changes + 1

    def version(self) -> object:
        if self.is_away:
            raise UnavailableError("the database does not answer")
        return self.n_changes

    def read(self) -> StoredKeys:
        return StoredKeys(self.version(), self.keys)

    def record_uses(self, used_at: Mapping[str, datetime]) -> None:
        self.uses.update(used_at)


def revoked(key: ApiKey) -> ApiKey:
    return replace(key, revoked_at=datetime.now(UTC))


def test_valid_key() -> None:
    text, key = made_key("training")
    caller = KeyRing(Table(key)).find(text).caller
    assert (caller.key_id, caller.user_id) == (key.key_id, None)
    assert caller.scopes == {"training"}


def test_admin_has_all() -> None:
    text, key = made_key("admin")
    assert KeyRing(Table(key)).find(text).caller.scopes == ALL_SCOPES


def test_one_refusal() -> None:
    """Whatever is wrong with a key, the answer is the same."""
    good, key = made_key("training")
    late, late_key = made_key("training")
    gone, gone_key = made_key("training")
    ring = KeyRing(Table(key, expired(late_key), revoked(gone_key)))
    wrong_secret = good[:20] + ("a" if good[20] != "a" else "b") + good[21:]
    details = set()
    for text in (new_text("secret"), wrong_secret, late, gone, good + "0", good[:-1], "", "é" * 1_000, key.key_id):
        with pytest.raises(UnauthorizedError) as caught:
            ring.find(text)
        details.add((caught.value.detail, caught.value.status, tuple(caught.value.headers.items())))
    assert len(details) == 1


def test_expires_between_reads() -> None:
    text, key = made_key("training")
    ring = KeyRing(Table(key))
    held = ring.find(text)
    object.__setattr__(held, "valid_until", 0.0)
    with pytest.raises(UnauthorizedError):
        ring.find(text)
    assert ring.get(key.key_id) is None


def test_open_until_first_key() -> None:
    table = Table()
    ring = KeyRing(table)
    was_open = ring.is_open
    text, key = made_key("training")
    table.change(key)
    ring.refresh()
    ring.find(text)
    assert (was_open, ring.is_open) == (True, False)


def test_last_key_does_not_open() -> None:
    """Neither its end nor a restored database without keys lets everybody in."""
    _, key = made_key("training")
    table = Table(key)
    ring = KeyRing(table)
    for keys in ([revoked(key)], []):
        table.change(*keys)
        ring.refresh()
        assert not ring.is_open
    assert not KeyRing(Table(revoked(key))).is_open


def test_required_keys() -> None:
    assert not KeyRing(Table(), requires_keys=True).is_open


def test_database_away(monkeypatch: pytest.MonkeyPatch) -> None:
    text, key = made_key("training")
    table = Table(key)
    ring = KeyRing(table)
    table.is_away = True
    with pytest.raises(UnavailableError):
        ring.refresh()
    ring.find(text)
    monkeypatch.setattr(key_ring, "TRUSTED_SECONDS", -1.0)
    table.is_away = False
    ring.refresh()
    with pytest.raises(UnavailableError):
        ring.find(text)


def test_new_key_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is looked for once in a while, and not while the database is away."""
    monkeypatch.setattr(key_ring, "SECONDS_BETWEEN_LOOKS", 3_600.0)
    text, key = made_key("training")
    table = Table(made_key("training")[1])
    ring = KeyRing(table)
    table.change(key)
    with pytest.raises(UnauthorizedError):
        ring.find_again(text)
    monkeypatch.setattr(key_ring, "SECONDS_BETWEEN_LOOKS", 0.0)
    table.is_away = True
    with pytest.raises(UnauthorizedError):
        ring.find_again(text)
    table.is_away = False
    assert ring.find_again(text).key == key


def test_uses_are_stored() -> None:
    text, key = made_key("training")
    _, unused = made_key("training")
    table = Table(key, unused)
    ring = KeyRing(table)
    ring.store_uses()
    assert table.uses == {}
    ring.find(text)
    table.change(key, unused)
    ring.refresh()
    ring.store_uses()
    assert table.uses.keys() == {key.key_id}


def test_checked_again() -> None:
    """A key that was found before, as of a session of the console, may have ended since."""
    _, key = made_key("console")
    _, of_tenant = made_key("console", tenant="shop")
    table = Table(key, of_tenant)
    ring = KeyRing(table)
    ring.check(None)
    ring.check(key.key_id)
    with pytest.raises(TenantSuspendedError):
        ring.check(of_tenant.key_id)
    table.change(revoked(key), of_tenant)
    ring.refresh()
    with pytest.raises(UnauthorizedError):
        ring.check(key.key_id)


def test_origins() -> None:
    _, page = made_key("ratings:write", origins=[SHOP])
    _, old = made_key("ratings:write", origins=["https://old.example.com"])
    assert KeyRing(Table(page, revoked(old))).origins == {SHOP}


class FailingTable(Table):
    """Fails the second and the third time that it is asked."""

    n_asked = 0

    def version(self) -> object:
        self.n_asked += 1
        if self.n_asked == 2:
            raise ZeroDivisionError
        if self.n_asked == 3:
            raise UnavailableError("the database does not answer")
        return super().version()


def test_polling_survives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_ring, "POLL_SECONDS", 0.001)
    monkeypatch.setattr(key_ring, "SECONDS_BETWEEN_USES", 0.02)
    text, key = made_key("training")
    table = FailingTable()
    ring = KeyRing(table)
    thread = ring.follow()
    wait_until(lambda: table.n_asked > 3)
    table.change(key)
    wait_until(lambda: not ring.is_open)
    ring.find(text)
    wait_until(lambda: key.key_id in table.uses)
    ring.stop()
    thread.join()
