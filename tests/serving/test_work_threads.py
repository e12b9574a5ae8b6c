"""Small work on the loop, large work in a thread, by what it is expected to take."""

import asyncio
import threading
from typing import Any

import pytest

from app.serving import costs
from app.serving.work_threads import MAX_ON_LOOP_MICROSECONDS, N_THREADS, WorkThreads
from app.wiring import Service
from tests.support.requests import place, query_of, recommended

CONTAINS = " or ".join(f'title contains "{n}"' for n in range(180))


ON_SQLITE = pytest.mark.parametrize("trained_url", ["sqlite"], indirect=True)


def estimate(service: Service, **options: Any) -> float:
    """Before anything of the list is made."""

    async def estimated() -> float:
        request_state = await service.request_states.read("user-0")
        return costs.of_list(await service.recommender.context(query_of("user-0", **options), request_state))

    return asyncio.run(estimated())


def test_by_estimate() -> None:
    threads = WorkThreads()
    own = threading.get_ident()
    assert asyncio.run(threads.run(MAX_ON_LOOP_MICROSECONDS, threading.get_ident)) == own
    assert asyncio.run(threads.run(MAX_ON_LOOP_MICROSECONDS + 1, threading.get_ident)) != own
    threads.close()


def test_few_threads() -> None:
    async def run_many() -> set[int]:
        return set(await asyncio.gather(*(threads.apart(threading.get_ident) for _ in range(50))))

    threads = WorkThreads()
    assert len(asyncio.run(run_many())) <= N_THREADS
    threads.close()


def test_error_of_thread() -> None:
    threads = WorkThreads()
    with pytest.raises(ZeroDivisionError):
        asyncio.run(threads.apart(lambda: 1 // 0))
    threads.close()


@ON_SQLITE
def test_ordinary_list_is_small(service: Service) -> None:
    assert estimate(service, limit=20) < MAX_ON_LOOP_MICROSECONDS / 100


@ON_SQLITE
@pytest.mark.parametrize(
    "options",
    [
        {"filter": CONTAINS},
        {"filter": " or ".join(f'"{n}" = title' for n in range(180))},
        {"boost": "; ".join(f'title contains "{n}" -> 2' for n in range(50))},
        {"explain": True},
        {"categories": ("nowhere",)},
        {"exclude": tuple(map(str, range(5_000)))},
        {"min_predicted_rating": 3.0},
    ],
)
def test_more_work_costs_more(service: Service, options: dict[str, Any]) -> None:
    assert estimate(service, **options) > 2 * estimate(service)


@ON_SQLITE
def test_remembered_expression_costs_nothing(service: Service) -> None:
    recommended(service, filter=CONTAINS)
    assert estimate(service, filter=CONTAINS) == estimate(service)


@ON_SQLITE
def test_cost_of_stored_expression(service: Service) -> None:
    ordinary = estimate(service)
    place(service, filter=f"({CONTAINS}) or user.country = created_by")
    assert estimate(service) > 2 * ordinary


@ON_SQLITE
def test_cost_of_rules(service: Service) -> None:
    ordinary = estimate(service)
    place(service, diversity=0.5, category_cap=2)
    assert estimate(service) > 2 * ordinary
