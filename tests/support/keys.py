"""API keys for tests."""

from datetime import UTC, datetime, timedelta
from typing import Any

from fastapi.testclient import TestClient

from app.auth.keys import ApiKey, new_key
from app.main import create_app
from app.settings import Settings
from app.store import Store, migrate
from app.tenancy.lifecycle import TenantLifecycle

SHOP = "https://shop.example.com"


def made_key(*scopes: str, **options: Any) -> tuple[str, ApiKey]:
    """The text of a key with these scopes, and what is stored of it."""
    return new_key(scopes=scopes, created_at=datetime.now(UTC), **options)


def stored_key(store: Store, *scopes: str, **options: Any) -> str:
    """The text of a new key that is stored."""
    text, key = made_key(*scopes, **options)
    store.api_keys.add(key)
    return text


def bearer(text: str) -> dict[str, str]:
    return {"authorization": f"Bearer {text}"}


def expired(key: ApiKey) -> ApiKey:
    return ApiKey(**{**fields_of(key), "expires_at": datetime.now(UTC) - timedelta(seconds=1)})


def fields_of(key: ApiKey) -> dict[str, Any]:
    return {name: getattr(key, name) for name in ApiKey.__slots__}


class GuardedApp:
    """The API in a folder, and the store that its keys are in."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        migrate(settings.database_url, settings.data_dir)
        self.app = create_app(settings)
        self.store: Store = self.app.state.control.store
        self.client = TestClient(self.app, raise_server_exceptions=False)

    def tenant(self, name: str) -> None:
        """Create a tenant."""
        TenantLifecycle(self.settings, self.store).create(name)
        self.app.state.control.keys.refresh()

    def key(self, *scopes: str, **options: Any) -> str:
        text = stored_key(self.store, *scopes, **options)
        self.app.state.control.keys.refresh()
        return text

    def close(self) -> None:
        self.store.close()
