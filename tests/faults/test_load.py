"""The load generator against a server that plays a script."""

import time

from faults.load import NO_ANSWER, Request, load
from tests.support.scripted_server import DROPPED, Reply, scripted


def ask(_number: int) -> Request:
    return Request("POST", "/ratings", b'{"a":1}', "write")


def test_open_loop() -> None:
    """A slow answer does not hold up the next request, and is timed from its intended start."""
    with scripted(Reply(wait_seconds=0.4)) as server, load(server.address, ask, per_second=20) as answers:
        time.sleep(0.2)
    assert len(answers) >= 4
    assert server.asked[1].at - server.asked[0].at < 0.4
    assert min(answer.seconds for answer in answers.all) >= 0.4
    assert answers.share(200) == 1


def test_no_answer() -> None:
    with scripted(Reply(), DROPPED) as server, load(server.address, ask, per_second=20) as answers:
        time.sleep(0.12)
    assert answers.count(200) == 1
    assert answers.count(NO_ANSWER) == len(answers) - 1 > 0


def test_given_up() -> None:
    with (
        scripted(Reply(wait_seconds=0.3)) as server,
        load(server.address, ask, per_second=20, answer_seconds=0.05) as answers,
    ):
        time.sleep(0.01)
    assert answers.statuses == "none: 1"


def test_bodies() -> None:
    with (
        scripted(Reply(body='{"b": 2}')) as server,
        load(server.address, ask, per_second=20, keeps_bodies=True) as answers,
    ):
        time.sleep(0.12)
    assert {answer.body for answer in answers.all} == {b'{"b": 2}'}
    assert server.asked[0].body == b'{"a":1}'
    assert answers.of("write").all == answers.all
    assert not answers.of("read").all
