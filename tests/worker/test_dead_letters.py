import json

from app.intake.json_limits import MAX_BODY_BYTES
from app.worker.dead_letters import DeadLetter, dead_letter
from app.worker.messages import TopicMessage

HEADERS = (("trace", b"t"), ("reckon-tenant", b"shop"), ("reckon-reason", b"an earlier one"), ("empty", None))


def message(body: bytes | None) -> TopicMessage:
    return TopicMessage("ratings", 3, 17, 1_750_000_000_123_456, b"key", body, HEADERS)


def own_headers(letter: DeadLetter) -> dict[str, bytes | None]:
    return dict(letter.headers)


def test_whole_message() -> None:
    letter = dead_letter(message(b"{x"), "not JSON")
    assert (letter.key, letter.body) == (b"key", b"{x")
    assert list(letter.headers) == [
        ("trace", b"t"),
        ("reckon-tenant", b"shop"),
        ("empty", None),
        ("reckon-reason", b"not JSON"),
        ("reckon-topic", b"ratings"),
        ("reckon-partition", b"3"),
        ("reckon-offset", b"17"),
        ("reckon-timestamp", b"1750000000123"),
        ("reckon-size", b"2"),
    ]


def test_one_row() -> None:
    letter = dead_letter(message(b"[...]"), "value: is missing", (4, {"user_id": "\ud800"}))
    assert letter.body is not None
    assert json.loads(letter.body) == {"user_id": "\ud800"}
    assert own_headers(letter)["reckon-row"] == b"4"


def test_large_parts_are_left_out() -> None:
    letter = dead_letter(message(b"x" * (MAX_BODY_BYTES + 1)), "r" * 5_000)
    assert letter.body is None
    headers = own_headers(letter)
    assert headers["reckon-size"] == b"1048577"
    assert headers["reckon-reason"] == b"r" * 1_000
    many = TopicMessage("t", 0, 0, None, None, b"{", [("h", b"x" * 20_000)])
    assert "h" not in own_headers(dead_letter(many, "why"))


def test_by_reference() -> None:
    letter = dead_letter(message(b"{x"), "\ud800").by_reference()
    assert (letter.key, letter.body) == (None, None)
    assert own_headers(letter)["reckon-reason"] == b"\\ud800"
    assert "trace" not in own_headers(letter)
