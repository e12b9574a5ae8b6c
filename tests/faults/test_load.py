"""The load generator against a server that plays a script."""

import threading
import time

import pytest

from faults.load import NO_ANSWER, Request, load
from tests.support.scripted_server import DROPPED, Reply, scripted
from tests.support.service import wait_until


def ask(_number: int) -> Request:
    return Request("POST", "/ratings", b'{"a":1}', "write")


def test_open_loop() -> None:
    """A slow answer does not hold up the next request, and is timed from its intended start."""
    go_on = threading.Event()
    with (
        scripted(Reply(waits_for=go_on)) as server,
        load(server.address, ask, per_second=20, answer_seconds=60) as answers,
    ):
        wait_until(lambda: len(server.asked) >= 4)
        assert len(answers) == 0
        answered_from = time.monotonic()
        go_on.set()
    assert answers.share(200) == 1
    assert min(answer.at + answer.seconds for answer in answers.all) >= answered_from
    first, *later = sorted(answers.all, key=lambda answer: answer.number)
    assert [answer.at - first.at for answer in later] == pytest.approx([answer.number / 20 for answer in later])


def test_no_answer() -> None:
    with scripted(Reply(), DROPPED) as server, load(server.address, ask, per_second=20, answer_seconds=60) as answers:
        wait_until(lambda: len(answers) >= 3)
    assert answers.count(200) == 1
    assert answers.count(NO_ANSWER) == len(answers) - 1


def test_given_up() -> None:
    released = threading.Event()
    with scripted(Reply(waits_for=released)) as server:
        with load(server.address, ask, per_second=20, answer_seconds=0.05) as answers:
            wait_until(lambda: len(answers) >= 1)
        released.set()
    assert answers.statuses == f"none: {len(answers)}"


def test_bodies() -> None:
    with (
        scripted(Reply(body='{"b": 2}')) as server,
        load(server.address, ask, per_second=20, answer_seconds=60, keeps_bodies=True) as answers,
    ):
        wait_until(lambda: len(answers) >= 2)
    assert {answer.body for answer in answers.all} == {b'{"b": 2}'}
    assert server.asked[0].body == b'{"a":1}'
    assert answers.of("write").all == answers.all
    assert not answers.of("read").all
