"""Processes of Spark, and data to learn from."""

import os
from pathlib import Path

from app.algorithms.rating_matrix import RatingMatrix
from tests.support.user_states import tasteful_ratings

MASTER = "local-cluster[2,1,768]"

OPTIONS = {
    "spark.driver.memory": "768m",
    "spark.executor.memory": "512m",
    "spark.task.maxFailures": "3",
    "spark.sql.shuffle.partitions": "4",
    "spark.default.parallelism": "4",
}

EXECUTOR = b"CoarseGrainedExecutorBackend"


def tasteful(n_users: int = 500, n_items: int = 200, n_each: int = 20) -> RatingMatrix:
    rows = tasteful_ratings(n_users, n_items, n_each)
    users, items = ([int(text.partition("-")[2]) for text in ids] for ids in (rows.user_id, rows.item_id))
    ratings = RatingMatrix(n_users, n_items, users, items, rows.value, rows.rated_at)
    return ratings.with_liked_from(4.0)


def java_below(pid: int | None = None) -> dict[int, bytes]:
    """The Java processes that descend from a process, by default this one, with their command lines."""
    parents: dict[int, int] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(status.parent.name)] = int(status.read_text().rpartition(")")[2].split()[1])
        except OSError:  # it has ended
            continue
    found, root = {}, os.getpid() if pid is None else pid
    for each in parents:
        above = each
        while above in parents and above != root:
            above = parents[above]
        if above == root and each != root:
            try:
                command = Path(f"/proc/{each}/cmdline").read_bytes()
            except OSError:
                continue
            if command.partition(b"\0")[0].endswith(b"java"):
                found[each] = command
    return found


def drivers(pid: int) -> list[int]:
    """The JVMs that a process has started, without the one that only makes their command lines."""
    commands = java_below(pid)
    return [each for each, command in commands.items() if b"SparkSubmit" in command and b"launcher.Main" not in command]


def executors() -> list[int]:
    """The executors of this process's application."""
    return [pid for pid, command in java_below().items() if EXECUTOR in command]
