"""The text of keys, and which keys may be made."""

from datetime import timedelta
from typing import Any

import pytest

from app.auth.keys import KEY_ID, KEY_LENGTH, id_of, new_text
from app.errors import InvalidInputError
from app.texts import API_KEY
from tests.support.keys import SHOP, made_key


@pytest.mark.parametrize(("kind", "prefix"), [("secret", "rk_"), ("browser", "rb_")])
def test_text(kind: Any, prefix: str) -> None:
    texts = {new_text(kind) for _ in range(200)}
    assert len(texts) == len({text[KEY_ID] for text in texts}) == 200
    for text in texts:
        assert text.startswith(prefix)
        assert len(text) == KEY_LENGTH
        assert API_KEY.search(f"key={text}, next")
        assert id_of(text) == text[KEY_ID]


def test_check_digits() -> None:
    """A change of any character is noticed, so a scanner for leaked keys has no false alarms."""
    text = new_text("secret")
    for place in range(3, KEY_LENGTH):
        other = "0" if text[place] != "0" else "1"
        assert id_of(text[:place] + other + text[place + 1 :]) is None
    assert id_of(text[:-1]) is None


def test_new_key() -> None:
    text, key = made_key("training", "console", note="Ann's", lifetime=timedelta(days=1))
    assert (key.kind, key.scopes, key.rate_limit) == ("secret", ("training", "console"), None)
    assert key.key_id in text
    assert text[16:] not in repr(key)
    assert key.expires_at is not None
    assert key.is_valid(key.expires_at - timedelta(seconds=1))
    assert not key.is_valid(key.expires_at)


def test_browser_key() -> None:
    _, key = made_key("recommendations:read", origins=[SHOP.upper(), SHOP])
    assert (key.kind, key.origins, key.rate_limit) == ("browser", (SHOP,), "20/second")


@pytest.mark.parametrize(
    ("scopes", "options", "field"),
    [
        ([], {}, "scopes"),
        (["ratings"], {}, "scopes"),
        (["training"], {"origins": [SHOP]}, "scopes"),
        (["admin"], {"origins": [SHOP]}, "scopes"),
        (["ratings:write"], {"origins": [f"{SHOP}/"]}, "origins"),
        (["ratings:write"], {"origins": ["*"]}, "origins"),
        (["training"], {"rate_limit": "many"}, "rate_limit"),
        (["training"], {"rate_limit": "0/second"}, "rate_limit"),
        (["training"], {"note": "x" * 201}, "note"),
        (["training"], {"note": "a\nb"}, "note"),
        (["training"], {"lifetime": timedelta(0)}, "expires_in"),
        (["training"], {"lifetime": timedelta(days=9_999)}, "expires_in"),
    ],
)
def test_refused(scopes: list[str], options: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        made_key(*scopes, **options)
    assert caught.value.field == field
