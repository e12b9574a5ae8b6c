"""What a user token allows, and which are refused."""

import time

import pytest

from app.auth.errors import UserTokenError
from app.auth.key_ring import ANYONE, Caller, KeyRing
from app.auth.keys import ApiKey
from app.auth.user_tokens import UserTokens
from tests.auth.test_key_ring import Table, revoked
from tests.support.keys import SHOP, made_key

KEY = b"k" * 32


class Shop:
    """A backend and a page of it."""

    def __init__(self, *scopes: str, key: bytes = KEY) -> None:
        _, self.backend = made_key(*(scopes or ("recommendations:read", "ratings:write")))
        _, self.page = made_key("recommendations:read", "ratings:write", origins=[SHOP])
        self.table = Table(self.backend, self.page)
        self.ring = KeyRing(self.table)
        self.tokens = UserTokens(lambda: key, self.ring)

    def caller(self, key: ApiKey) -> Caller:
        held = self.ring.get(key.key_id)
        assert held is not None
        return held.caller

    def token(self, user_id: str = "ann", seconds: int = 60) -> str:
        return self.tokens.make(self.caller(self.backend), user_id, seconds)[0]


def test_narrows() -> None:
    shop = Shop()
    caller = shop.tokens.narrowed(shop.caller(shop.page), shop.token("Ünïcode 1"))
    assert (caller.key_id, caller.user_id) == (shop.page.key_id, "Ünïcode 1")
    assert caller.scopes == {"recommendations:read", "ratings:write"}


def test_no_more_than_its_maker() -> None:
    shop = Shop("recommendations:read")
    caller = shop.tokens.narrowed(shop.caller(shop.page), shop.token())
    assert caller.scopes == {"recommendations:read"}


def test_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop()
    page = shop.caller(shop.page)
    token = shop.token()
    other_tenant = shop.tokens.make(Caller(shop.backend.key_id, page.scopes, "other"), "ann", 60)[0]
    of_open = shop.tokens.make(ANYONE, "ann", 60)[0]
    changed = [token[:n] + ("A" if token[n] != "A" else "B") + token[n + 1 :] for n in range(3, len(token) - 1)]
    short, long = token[:-4], f"ut_{'A' * 2_000}"
    for text in ("", "ut_", "ut_é", token[3:], short, long, other_tenant, of_open, *changed):
        with pytest.raises(UserTokenError):
            shop.tokens.narrowed(page, text)
    with pytest.raises(UserTokenError):
        UserTokens(lambda: b"other" * 8, shop.ring).narrowed(page, token)
    shop.tokens.narrowed(page, token)
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 60)
    with pytest.raises(UserTokenError):
        shop.tokens.narrowed(page, token)


def test_ends_with_its_maker() -> None:
    shop = Shop()
    page, token = shop.caller(shop.page), shop.token()
    shop.table.change(revoked(shop.backend), shop.page)
    shop.ring.refresh()
    with pytest.raises(UserTokenError):
        shop.tokens.narrowed(page, token)
