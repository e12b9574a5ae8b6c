"""One training run from files in a process of its own, which prints what each stage cost: `scale.py` starts it."""

import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

from app.algorithms.progress import ignore
from app.settings import Settings
from app.store import Store, migrate
from app.training import scratch as scratch_files
from app.training.recipe import recipe_of_segments
from app.worker.loop import build_trainer
from benchmarks.training import snapshot_sizes

STAGES = {
    "loading > read": "read",
    "loading > map": "map",
    "loading > order": "order",
    "loading": "map",  # what is left of it: users, items and features
    "similar items": "evaluate",
    "refitting": "fit",
    "publishing": "publish",
}
"""The stage of a run that has ended -> where the time since the one before is counted."""


class StageCosts:
    """A log that counts the time, and the processor time, between the ends of stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu_seconds: dict[str, float] = {}
        self.figures: dict[str, Any] = {}
        self._wall, self._cpu = time.perf_counter(), time.process_time()

    def info(self, event: str, **fields: Any) -> None:
        if event == "stage finished" and (stage := STAGES.get(fields["stage"])) is not None:
            wall, cpu = time.perf_counter(), time.process_time()
            self.seconds[stage] = self.seconds.get(stage, 0.0) + wall - self._wall
            self.cpu_seconds[stage] = self.cpu_seconds.get(stage, 0.0) + cpu - self._cpu
            self._wall, self._cpu = wall, cpu
        if event == "stage finished" and fields["stage"] == "loading > read":
            self.figures |= {f"{fields['stage']}: {name}": value for name, value in fields.items()}
        if event == "stage finished":
            print(fields["stage"], fields["duration_seconds"], file=sys.stderr, flush=True)

    def debug(self, event: str, **fields: Any) -> None: ...


def main(lake: str, data_dir: str, segments: str) -> None:
    migrate("", Path(data_dir))
    settings, costs = Settings(data_dir=Path(data_dir)), StageCosts()
    store = Store.open("", Path(data_dir))
    largest = 0

    class Counted(scratch_files.Scratch):
        def mapped(self, *array: Any) -> Any:
            nonlocal largest
            made = super().mapped(*array)
            largest = max(largest, sum(len(each) for each in list(self._maps)))
            return made

    scratch_files.Scratch = Counted  # type: ignore[misc]  # counts the bytes of all files
    recipe = recipe_of_segments(segments.split(",")).document | {"source": lake}
    store.jobs.enqueue("benchmark", recipe=recipe)
    claim = store.jobs.claim("benchmark", lease_seconds=1e6)
    if claim is None:
        raise RuntimeError("another run is under way")
    begun = time.perf_counter()
    version = build_trainer(settings, store).run(claim, ignore, costs)
    card = store.snapshots.get(version).card
    outcome = {
        "seconds": costs.seconds,
        "cpu_seconds": costs.cpu_seconds,
        "total_seconds": time.perf_counter() - begun,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "scratch_bytes": largest,
        "snapshot_bytes": sum(snapshot_sizes(Path(data_dir)).values()),
        "n_rows": costs.figures["loading > read: n_rows"],
        "n_ratings": card["counts"]["ratings"],
        "n_users": card["counts"]["users"],
        "n_items": card["counts"]["items"],
        "is_live": store.snapshots.get(version).is_live,
        "ndcg": card["metrics"]["snapshot"].get("ndcg@10"),
        "bestsellers_ndcg": card["metrics"]["bestsellers"].get("ndcg@10"),
    }
    store.close()
    print(json.dumps(outcome))


if __name__ == "__main__":
    main(*sys.argv[1:])
