"""Ratings a second, durably: SQLite with `synchronous=FULL`, every acknowledged rating on the disk."""

from functools import partial

from benchmarks.load import RATE_MANY, RATE_ONE, ROUNDS, Load, measure, middle, reckon_server
from benchmarks.serving_data import N_ITEMS, N_USERS, served_data
from benchmarks.table import Row

BATCH = 1_000


def write_rows() -> list[Row]:
    with served_data() as data_dir, reckon_server(data_dir) as address:
        # The data folder is the same, so the ratings of later rounds are partly replacements: as much work.
        rate = partial(measure, address, "", N_USERS, N_ITEMS)
        one = middle([rate(script=RATE_ONE) for _ in range(ROUNDS)])
        many = middle([rate(script=RATE_MANY, connections=2, seconds=3) for _ in range(ROUNDS)])
    per_second = many.requests_per_second * BATCH
    return [
        Row("POST ratings one by one, 16 connections", ">= 1,000/s", f"{one.requests_per_second:,.0f}/s", _note(one)),
        Row("POST ratings/batch of 1,000", ">= 50,000 ratings/s", f"{per_second:,.0f} ratings/s", _note(many)),
    ]


def _note(load: Load) -> str:
    return f"SQLite, synchronous=FULL; p99 {load.p99_milliseconds:.1f} ms, {load.errors} errors"
