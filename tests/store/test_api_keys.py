"""API keys in the database."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.auth.key_ring import KeyRing
from app.auth.keys import KEY_ID, digest_of, new_text
from app.errors import ConflictError, NotFoundError
from app.store import Store
from app.store.backup import backup, restore
from tests.support.keys import SHOP, made_key

DAY = timedelta(days=1)


def test_round_trip(store: Store) -> None:
    store.tenants.begin("shop")
    store.tenants.move("shop", "active", among=["creating"])
    keys = [
        made_key("training", "console", note="Ann's", rate_limit="5/second", lifetime=DAY)[1],
        made_key("ratings:write", origins=[SHOP], tenant="shop")[1],
    ]
    for key in keys:
        store.api_keys.add(key)
    assert sorted(store.api_keys.read().keys, key=lambda key: key.created_at) == keys
    assert store.api_keys.get(keys[0].key_id) == keys[0]


def test_version_changes(store: Store) -> None:
    versions: list[object] = [store.api_keys.version()]
    _, key = made_key("training")
    store.api_keys.add(key)
    versions.append(store.api_keys.version())
    store.api_keys.roll(key.key_id, "b" * 12, b"digest", DAY)
    versions.append(store.api_keys.version())
    store.api_keys.revoke(key.key_id)
    versions.append(store.api_keys.read().version)
    assert len(set(versions)) == 4
    store.api_keys.revoke(key.key_id)
    store.api_keys.record_uses({key.key_id: datetime.now(UTC)})
    assert store.api_keys.version() == versions[-1]


def test_creator_is_gone(store: Store) -> None:
    """A key that was revoked, or a tenant that was deleted, while the request for another key was on its way."""
    _, creator = made_key("admin")
    store.api_keys.add(creator)
    store.api_keys.add(made_key("training")[1], creator_id=creator.key_id)
    store.api_keys.revoke(creator.key_id)
    with pytest.raises(ConflictError):
        store.api_keys.add(made_key("training")[1], creator_id=creator.key_id)
    with pytest.raises(ConflictError):
        store.api_keys.add(made_key("training", tenant="gone")[1])
    assert len(store.api_keys.read().keys) == 2


def test_revoke(store: Store) -> None:
    _, key = made_key("training")
    store.api_keys.add(key)
    revoked = store.api_keys.revoke(key.key_id)
    assert not revoked.is_valid(datetime.now(UTC))
    assert store.api_keys.revoke(key.key_id) == revoked
    with pytest.raises(NotFoundError):
        store.api_keys.revoke("0" * 12)


@pytest.mark.parametrize("lifetime", [None, 10 * DAY, timedelta(hours=1)])
def test_roll(store: Store, lifetime: timedelta | None) -> None:
    _, key = made_key("training", "console", note="Ann's", rate_limit="5/second", lifetime=lifetime)
    store.api_keys.add(key)
    text = new_text("secret")
    new, old = store.api_keys.roll(key.key_id, text[KEY_ID], digest_of(text), DAY)
    assert (new.scopes, new.note, new.rate_limit) == (key.scopes, key.note, key.rate_limit)
    assert (new.expires_at is None) == (lifetime is None)
    assert new.expires_at is None or new.expires_at - new.created_at == lifetime
    assert old.expires_at == min(new.created_at + DAY, key.expires_at or new.created_at + DAY)
    assert {each.key_id: each for each in store.api_keys.read().keys} == {key.key_id: old, new.key_id: new}


def test_roll_of_an_ended_key(store: Store) -> None:
    _, key = made_key("training")
    store.api_keys.add(key)
    store.api_keys.revoke(key.key_id)
    with pytest.raises(ConflictError):
        store.api_keys.roll(key.key_id, "b" * 12, b"digest", DAY)


def test_uses_never_go_back(store: Store) -> None:
    _, key = made_key("training")
    store.api_keys.add(key)
    late = datetime(2026, 3, 1, tzinfo=UTC)
    for at in (late, late - DAY):
        store.api_keys.record_uses({key.key_id: at})
        assert store.api_keys.get(key.key_id).last_used_at == late


@pytest.mark.usefixtures("postgres_programs")
def test_restore_revives_no_key(store: Store, database_url: str, tmp_path: Path) -> None:
    keys = {name: made_key("training", lifetime=DAY)[1] for name in ("kept", "revoked", "ended", "rolled", "late")}
    for name in ("kept", "revoked", "ended", "rolled"):
        store.api_keys.add(keys[name])
    ended = store.api_keys.revoke(keys["ended"].key_id)
    backup(database_url, tmp_path, tmp_path / "copy")
    revoked = store.api_keys.revoke(keys["revoked"].key_id)
    _, rolled = store.api_keys.roll(keys["rolled"].key_id, "b" * 12, b"digest", timedelta(hours=1))
    store.api_keys.add(keys["late"])
    restore(database_url, tmp_path, tmp_path / "copy")
    store.generation.check()
    found = {key.key_id: key for key in store.api_keys.read().keys}
    late = [found.pop(key_id) for key_id in (keys["late"].key_id, "b" * 12)]
    assert all(key.revoked_at is not None for key in late)
    assert found == {key.key_id: key for key in (keys["kept"], revoked, ended, rolled)}


@pytest.mark.usefixtures("postgres_programs")
def test_restore_opens_no_service(store: Store, database_url: str, tmp_path: Path) -> None:
    """A process that starts after the restore to a state without keys has not seen the keys before."""
    backup(database_url, tmp_path, tmp_path / "copy")
    assert KeyRing(store.api_keys).is_open
    _, key = made_key("admin")
    store.api_keys.add(key)
    for _ in range(2):
        restore(database_url, tmp_path, tmp_path / "copy")
        store.generation.check()
        assert not KeyRing(store.api_keys).is_open
    (stored,) = store.api_keys.read().keys
    assert stored.revoked_at is not None
    assert replace(stored, revoked_at=None) == key
