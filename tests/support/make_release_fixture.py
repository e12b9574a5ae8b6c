"""Makes the data folder of a release as a fixture: `python tests/support/make_release_fixture.py OUT.tar.xz`.

Run it with the code of the release whose data are to be kept, before the first change that follows the release. It uses
commands and HTTP requests alone, so the same script runs with every release. `tests/end_to_end/test_upgrade.py` starts
the current code on each archive.
"""

import csv
import json
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
N_USERS, N_ITEMS, SEED = 60, 40, 7
CATEGORIES = ("Drama", "Comedy", "Horror", "Science Fiction")
START_SECONDS, DAY_SECONDS = 1_767_225_600, 86_400  # 2026-01-01, UTC


def write_files(folder: Path) -> None:
    """Writes ratings, items, users and events as CSV: two halves of the users like two halves of the items."""
    rng = random.Random(SEED)  # noqa: S311  made-up data
    ratings, events = [], []
    for user in range(N_USERS):
        for item in sorted(rng.sample(range(N_ITEMS), 14)):
            likes = user % 2 == item % 2
            at = START_SECONDS + DAY_SECONDS * rng.randrange(200)
            ratings.append((f"u{user}", f"i{item}", rng.choice((4, 5) if likes else (1, 2, 3)), at))
        for number in range(6):
            item = rng.randrange(N_ITEMS)
            kind = rng.choice(("shown", "clicked", "bought"))
            events.append((f"e{user}-{number}", kind, f"u{user}", f"i{item}", START_SECONDS + DAY_SECONDS * number))
    items = [
        (f"i{item}", f"Item {item}", CATEGORIES[item % 4], 1960 + item, json.dumps({"price": item + 0.5}))
        for item in range(N_ITEMS)
    ]
    users = [(f"u{user}", ("FI", "DE", "")[user % 3], json.dumps({"age": 20 + user % 50})) for user in range(N_USERS)]
    for name, header, rows in (
        ("ratings", ("user_id", "item_id", "rating", "timestamp"), ratings),
        ("items", ("item_id", "title", "categories", "year", "attributes"), items),
        ("users", ("user_id", "country", "attributes"), users),
        ("events", ("event_id", "type", "user_id", "item_id", "at"), events),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([header, *rows])


def make(data_dir: Path, source: Path) -> None:
    environment = os.environ | {"RECKON_DATA_DIR": str(data_dir), "RECKON_DATABASE_URL": ""}

    def run(*command: str) -> None:
        subprocess.run([sys.executable, "-m", "app.cli", *command], cwd=ROOT, env=environment, check=True)

    run("migrate")
    run("import", str(source))
    # Stores a recipe, which names every segment of the release.
    tuned = ("--algorithm", "als_implicit", "--grid", "n_factors=8", "--metric", "ndcg@10", "--apply")
    run("tune", str(source / "ratings.csv"), *tuned)
    serve = [sys.executable, "-m", "app.cli", "serve", "--port", "0", "--no-worker"]
    with subprocess.Popen(serve, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        address = process.stdout.readline().split(" at ")[1].split()[0] if process.stdout else ""
        settings = {"filter": "year >= 1965", "diversity": 0.2, "boost": '"Drama" in categories -> 1.2'}
        call("PUT", f"{address}/placements/page", settings)
        call("PUT", f"{address}/event-types/wishlist", {"weight": 0.5})
        call("PUT", f"{address}/items/i3", {"title": "Item 3", "is_available": False, "year": 1963})
        call("DELETE", f"{address}/users/u0/ratings/i0")
        process.terminate()
    run("train")


def call(method: str, url: str, body: Any = None) -> None:
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, content, {"content-type": "application/json"}, method=method)
    urllib.request.urlopen(request, timeout=30).close()


def main(archive: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, data_dir = Path(folder, "source"), Path(folder, "data")
        source.mkdir()
        write_files(source)
        make(data_dir, source)
        with tarfile.open(archive, "w:xz") as tar:
            for path in sorted(data_dir.rglob("*")):
                # Trials of `tune` and locks belong to a process, not to the data.
                if path.is_file() and path.suffix != ".lock":
                    tar.add(path, str(path.relative_to(data_dir)))


if __name__ == "__main__":
    main(Path(sys.argv[1]).absolute())
