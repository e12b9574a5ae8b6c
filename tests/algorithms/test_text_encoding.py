import json
import math

import numpy as np
import pytest

from app.algorithms.text_encoding import MAX_WORDS, TextEncoding, words_of


def fitted(texts: list[str]) -> TextEncoding:
    encoding = TextEncoding.fit(texts)
    assert encoding is not None
    return encoding


def test_words() -> None:
    assert words_of("Toy Story 2: l'ÉTÉ, re_made") == ["toy", "story", "2", "l", "été", "re", "made"]
    assert words_of("\uff33tra\u00dfe e\u0301te\u0301") == ["strasse", "été"]  # one form, whatever the keyboard
    assert words_of("東京の物語") == ["東", "京", "の", "物", "語"]
    assert words_of("x" * 41) == words_of("") == []


def test_formula() -> None:
    encoding = fitted(["space war", "space love space", "love the", "the space", ""])
    assert encoding.words == ("love", "the", "space")  # 2 log(2)^2, then 3 log(4/3)^2
    np.testing.assert_allclose(encoding.inverse_frequencies, [math.log(2), math.log(2), math.log(4 / 3)])
    row = np.array([math.log(2), 0, (1 + math.log(2)) * math.log(4 / 3)])
    matrix = encoding.encode(["space love SPACE unseen", "unseen", ""])
    assert matrix.dtype == np.float32
    np.testing.assert_allclose(matrix.toarray(), [row / np.linalg.norm(row), [0] * 3, [0] * 3], rtol=1e-6)
    assert np.diff(matrix.indptr).tolist() == [2, 0, 0]


@pytest.mark.parametrize("texts", [[], ["", ""], ["alone"], ["one", "other"], ["same", "same"]])
def test_no_word_tells_texts_apart(texts: list[str]) -> None:
    assert TextEncoding.fit(texts) is None


def test_width_is_bounded() -> None:
    assert fitted([f"word{row // 2}" for row in range(4 * MAX_WORDS)]).n_columns == MAX_WORDS


def test_document_round_trip() -> None:
    encoding = fitted(["space war", "war of love", "love in space"])
    assert TextEncoding.from_document(json.loads(json.dumps(encoding.document))) == encoding


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0], [1.0, math.nan], [1.0, "x"]])
def test_foreign_document(weights: list[object]) -> None:
    with pytest.raises(ValueError, match=r"inverse frequency|could not convert"):
        TextEncoding.from_document({"words": ["a", "b"], "inverse_frequencies": weights})
