"""Damaged, swapped and forged snapshots under a process that follows the register: none is served, and it goes on.

Of a store with two snapshots, the second is made live, damaged in one of many ways. The process must go on with the
first, answer every request, notice a good snapshot afterwards, and serve the first after a restart as well.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Any

from fastapi.testclient import TestClient
from structlog.testing import capture_logs

from app.main import create_app
from app.settings import Settings
from app.store import Store
from app.wiring import Service
from faults.gate import QUICK
from faults.trial import Figure, Trial
from tests.support.forged import forge_manifest
from tests.support.published import opened_shop
from tests.support.user_states import tasteful_ratings

Mutation = Callable[[Path, Path, Random], str]
PATHS = ("/users/user-0/recommendations", "/users/user-0/mixes", "/users/user-1/home", "/items/item-1/similar")
VALUES: tuple[Any, ...] = (None, -1, 0, 10**9, 2**63, "x", "", 1e308, -0.5, True, [], {}, "../../outside")


def _any_file(folder: Path, choose: Random) -> Path:
    return choose.choice(sorted(folder.iterdir()))


def _truncate(folder: Path, _other: Path, choose: Random) -> str:
    path = _any_file(folder, choose)
    content = path.read_bytes()
    path.write_bytes(content[: choose.randrange(len(content))])
    return f"{path.name} cut"


def _flip(folder: Path, _other: Path, choose: Random) -> str:
    path = _any_file(folder, choose)
    content = bytearray(path.read_bytes())
    place = choose.randrange(len(content))
    content[place] ^= 1 << choose.randrange(8)
    path.write_bytes(content)
    return f"{path.name} flipped at {place}"


def _swap(folder: Path, other: Path, choose: Random) -> str:
    path = choose.choice([each for each in sorted(folder.iterdir()) if (other / each.name).exists()])
    if path.read_bytes() == (other / path.name).read_bytes():
        return _flip(folder, other, choose)
    shutil.copy(other / path.name, path)
    return f"{path.name} of another version"


def _remove(folder: Path, _other: Path, choose: Random) -> str:
    path = _any_file(folder, choose)
    path.unlink()
    return f"{path.name} removed"


def _header(folder: Path, _other: Path, choose: Random) -> str:
    """A header that claims a huge array, with valid checksums."""
    path = choose.choice(sorted(folder.glob("*.npy")))
    content = path.read_bytes()
    start = content.index(b"'shape': (") + len(b"'shape': (")
    path.write_bytes(content[:start] + b"9" * choose.randrange(1, 4) + content[start + 1 :])
    forge_manifest(folder)
    return f"{path.name} claims more"


def _forge(folder: Path, _other: Path, choose: Random) -> str:
    """Any value of the manifest, with valid checksums."""
    document = json.loads((folder / "manifest.json").read_text())
    leaves = [path for path in _leaves(document) if path[0] not in {"files", "sha256"}]
    path, value = choose.choice(leaves), choose.choice(VALUES)

    def change(forged: dict[str, Any]) -> None:
        place: Any = forged
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = value if place[path[-1]] != value else "another"

    forge_manifest(folder, change)
    return f"{'.'.join(map(str, path))} = {value!r}"


def _leaves(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from _leaves(part, (*at, key))
    if at:
        yield at


MUTATIONS: tuple[Mutation, ...] = (_truncate, _flip, _swap, _remove, _header, _forge)


def run(trial: Trial) -> Iterator[Figure]:
    folder = trial.fresh_folder("shop")
    with capture_logs(), opened_shop(folder, tasteful_ratings()) as shop:
        first, second = (shop.train(QUICK, seed=seed).manifest.version for seed in (0, 1))
        store = shop.store
        good = {version: folder / store.snapshots.get(version).path for version in (first, second)}
        kept = shutil.copytree(good[second], folder / "kept")
        store.snapshots.activate(first)
        n = trial.times(test=12, short=120, long=2_000)
        settings = Settings(data_dir=folder, snapshot_poll_seconds=3_600)
        served, failed, silent = [], 0, 0
        with TestClient(create_app(settings)) as api:
            serving = api.app.state.service.serving  # type: ignore[attr-defined]  # of the framework
            for number in range(n):
                what = MUTATIONS[number % len(MUTATIONS)](good[second], good[first], trial.choose)
                store.snapshots.activate(second)
                _poll(serving)
                if serving.current.version != first:
                    served.append(what)
                failed += sum(api.get(path).status_code >= 500 for path in PATHS)
                if number % 10 == 0 and _version_after_restart(settings) != first:
                    served.append(f"{what} (after a restart)")
                shutil.rmtree(good[second])
                shutil.copytree(kept, good[second])
                # Whatever it was, a good one is noticed: the first and, now and then, the second as it was.
                silent += not _follows(store, serving, first)
                if number % 10 == 0:
                    silent += not (_follows(store, serving, second) and _follows(store, serving, first))
        seen = f"{len(served)} of {n}" + (f"; {served[0]}" if served else "")
        yield Figure("damaged snapshots served", "0", seen, is_reached=not served)
        yield Figure("answers 5xx meanwhile", "0", f"{failed} of {n * len(PATHS)}", is_reached=failed == 0)
        yield Figure("polls that noticed nothing afterwards", "0", f"{silent} of {n}", is_reached=silent == 0)


def _follows(store: Store, serving: Any, version: int) -> bool:
    store.snapshots.activate(version)
    _poll(serving)
    return bool(serving.current.version == version)


def _poll(serving: Any) -> None:
    """As the polling thread does, which goes on whatever a poll raises."""
    with suppress(Exception):
        serving.poll()


def _version_after_restart(settings: Settings) -> int | None:
    service = Service.build(settings)
    service.store.close()
    return service.serving.current.version
