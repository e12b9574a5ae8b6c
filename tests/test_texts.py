"""The stored and the folded form of texts."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.texts import folded, nfc


@given(st.text())
def test_forms_are_stable(text: str) -> None:
    assert nfc(nfc(text)) == nfc(text)
    assert folded(folded(text)) == folded(text)
    assert folded(unicodedata.normalize("NFD", text)) == folded(nfc(text)) == folded(text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("Caf\u00e9", "cafe"),
        ("Cafe\u0301", "cafe"),
        ("\u00c9clair STRASSE", "eclair strasse"),
        ("Stra\u00dfe", "strasse"),
        ("Malm\u00f8 \u0141\u00f3d\u017a", "malmo lodz"),
        ("\uff34\uff4f\uff59", "toy"),
        ("\u0130stanbul", "istanbul"),
        ("so\u00adft\u200b", "soft"),
        ("\u0440\u0438\u0439", "\u0440\u0438\u0438"),
        ("\u304c", "\u304c"),
        ("\u0939\u093f\u0928\u094d\u0926\u0940", "\u0939\u093f\u0928\u094d\u0926\u0940"),
        ("\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd", "\u05e9\u05dc\u05d5\u05dd"),
        ("\u0623\u064e\u0647\u0652\u0644\u0640\u0640\u064b\u0627", "\u0627\u0647\u0644\u0627"),
    ],
)
def test_folded(text: str, plain: str) -> None:
    assert folded(text) == plain
