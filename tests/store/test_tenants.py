"""Tenants: their states, their keys, and where their data are."""

from pathlib import Path

import pytest

from app.auth.errors import TenantSuspendedError, UnauthorizedError
from app.auth.key_ring import KeyRing
from app.entities import Item
from app.errors import ConflictError, InvalidInputError, NotFoundError, UnavailableError
from app.settings import Settings, schema_of
from app.store import Store, migrate
from app.store.tenant_database import make_schema, remove_database
from tests.support.keys import stored_key


def created(store: Store, settings: Settings, name: str) -> Store:
    own = settings.of_tenant(name)
    store.tenants.begin(name)
    make_schema(store.database, schema_of(name))
    migrate(own.database_url, own.data_dir)
    store.tenants.move(name, "active", among=["creating"])
    return Store.open(own.database_url, own.data_dir, wait_seconds=1)


def title(store: Store) -> str | None:
    item = store.items.get("1")
    return None if item is None else item.title


def test_databases_apart(settings: Settings, store: Store) -> None:
    """The same id in three databases is three items; the keys of tokens differ; removing one leaves the others."""
    stores = {"": store, **{name: created(store, settings, name) for name in ("shop", "shop_2")}}
    for name, each in stores.items():
        each.items.record([Item("1", title=f"of {name}")])
    assert [title(each) for each in stores.values()] == ["of ", "of shop", "of shop_2"]
    assert len({each.instance.token_key for each in stores.values()}) == 3
    for name in ("shop", "shop_2"):
        stores[name].close()
    own = settings.of_tenant("shop")
    remove_database(store.database, schema_of("shop"), own.data_dir)
    assert not own.data_dir.exists()
    other = settings.of_tenant("shop_2")
    again = Store.open(other.database_url, other.data_dir)
    assert title(again) == "of shop_2"
    again.close()
    assert title(store) == "of "


def test_remains_of_a_tenant(store: Store, tmp_path: Path) -> None:
    """What cannot be removed is named, so that the removal can be tried again."""
    schema = schema_of("shop")
    remove_database(store.database, schema, tmp_path / "never made")
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=f"cannot remove {tmp_path / 'file'}: Not a directory"):
        remove_database(store.database, schema, tmp_path / "file")


def test_states(store: Store) -> None:
    tenants = store.tenants
    tenants.begin("shop")
    tenants.begin("shop")  # as after an interruption
    with pytest.raises(ConflictError, match="takes no keys"):
        stored_key(store, "console", tenant="shop")
    tenants.move("shop", "active", among=["creating"])
    of_shop = stored_key(store, "console", tenant="shop")
    ring = KeyRing(store.api_keys)

    def asked() -> str:
        ring.refresh()
        try:
            return str(ring.find(of_shop).caller.tenant)
        except (UnauthorizedError, TenantSuspendedError) as error:
            return error.type

    assert asked() == "shop"
    with pytest.raises(ConflictError, match="it is active"):
        tenants.begin("shop")
    tenants.move("shop", "suspended", among=["active"])
    assert asked() == "tenant-suspended"
    tenants.move("shop", "suspended", among=["active"])
    tenants.move("shop", "active", among=["suspended"])
    assert asked() == "shop"
    tenants.move("shop", "deleting", among=["active"])
    assert asked() == "unauthorized"
    with pytest.raises(ConflictError, match="is deleting"):
        tenants.move("shop", "active", among=["suspended"])
    tenants.end("shop")
    assert tenants.all() == []
    tenants.begin("shop")
    tenants.move("shop", "active", among=["creating"])
    assert asked() == "unauthorized"  # the key of the deleted one


@pytest.mark.parametrize("name", ["", "Shop", "1shop", "../shop", "a b", "sh-op", "a" * 41, "shop\n", "é"])
def test_bad_names(tmp_path: Path, name: str) -> None:
    migrate("", tmp_path)
    store = Store.open("", tmp_path)
    with pytest.raises(InvalidInputError, match="is no name of a tenant"):
        store.tenants.begin(name)
    with pytest.raises(NotFoundError):
        store.tenants.get(name)
    store.close()
