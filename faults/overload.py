"""Ten times as many requests as the service can answer: it goes on answering nearly as many as it can."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack

from app.main import create_app
from app.settings import Settings
from faults.database_outage import prepare
from faults.load import Request, load, peak_rate
from faults.trial import Figure, Trial
from tests.support.live_app import serving
from tests.support.service import Instance

FACTOR = 10
PROBES_PER_SECOND = 10.0
LIVEZ_SECONDS = 1.0


BATCH = json.dumps({"user_ids": [f"user-{n}" for n in range(20)], "limit": 50}).encode()


def lists(_number: int) -> Request:
    """Many lists: at ten times the rate, neither the load nor the cost of refusing must matter beside them."""
    return Request("POST", "/recommendations/batch", BATCH, "lists")


def probe(number: int) -> Request:
    return Request("GET", ("/livez", "/readyz", "/metrics")[number % 3], kind="probe")


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("data")
    prepare("", folder)
    seconds = {"test": 0.7, "short": 8.0, "long": 60.0}[trial.size]
    with ExitStack() as stack:
        if trial.size == "test":  # both share one interpreter, so that the figures say little
            address = stack.enter_context(serving(create_app(Settings(data_dir=folder))))
        else:
            address = stack.enter_context(Instance(folder).serving("--no-worker")).address
        peak_rate(address, lists, seconds=seconds / 4)  # the first pages compile and map what the others use
        peak = peak_rate(address, lists, seconds=seconds / 2)
        # One generator for both: two in one process would wait for one another, and measure that.
        every = max(2, round(FACTOR * peak / PROBES_PER_SECOND))
        with load(address, lambda n: lists(n) if n % every else probe(n // every), per_second=FACTOR * peak) as answers:
            time.sleep(seconds)
        after = peak_rate(address, lists, seconds=seconds / 4)
    asked, probes = answers.of("lists"), answers.of("probe")
    goodput = asked.count(200) / seconds
    refused = [each.seconds for each in asked.all if each.status == 503]
    yield Figure(
        f"requests answered at {FACTOR} x peak",
        ">= 80 % of peak",
        f"{goodput:.0f}/s = {100 * goodput / peak:.0f} % of {peak:.0f}/s ({asked.statuses}), slowest answer"
        f" {max((each.seconds for each in asked.all if each.status == 200), default=0):.2f} s",
        goodput >= 0.8 * peak,
        is_timed=True,
    )
    yield Figure(
        "what is refused",
        "503, no other failure",
        f"{len(refused):,}, slowest {max(refused, default=0):.2f} s",
        asked.count(200, 503) == len(asked) and bool(refused),
    )
    yield Figure(
        "/livez, /readyz, /metrics meanwhile",
        f"200 in <= {LIVEZ_SECONDS:g} s",
        f"{probes.statuses}, slowest {probes.slowest():.2f} s",
        probes.share(200) == 1 and probes.slowest() <= LIVEZ_SECONDS,
        is_timed=True,
    )
    yield Figure("afterwards", ">= 80 % of peak", f"{100 * after / peak:.0f} %", after >= 0.8 * peak, is_timed=True)
