"""The training loop, and the consumer of messages: doors like the API, for jobs and messages instead of requests.

This package decides which worker runs which job and when a job is due: claims, heartbeats, takeover of jobs whose
worker is silent, triggers, and removal of old snapshots and tombstones. It may import training and the layers below,
and settings. The `training_jobs` table is the queue. `consumption.py` stores the messages of a broker.

Rejected alternative: a task library. It needs a broker, and it loses the task of a killed worker, so the table would be
needed beside it.
"""

from importlib.util import find_spec

from app.errors import UnavailableError


def check_can_train() -> None:
    """Raises `UnavailableError`, naming the install that has it, where numba is missing; does not import it."""
    if find_spec("numba") is None:
        raise UnavailableError(
            "training needs numba, which an API-only install lacks: install requirements.txt, or use the worker image"
        )
