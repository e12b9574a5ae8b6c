"""States of a service, for its metrics."""

from app.observability.processes import ProcessState
from app.observability.states import (
    CatalogueState,
    DiskState,
    ErasureState,
    SnapshotState,
    StateReaders,
    TrainingState,
)


def unknown_states() -> StateReaders:
    """Nothing is known, as while the database does not answer."""
    return StateReaders(
        snapshot=lambda: None,
        erasures=lambda: None,
        training=lambda: None,
        catalogue=lambda: None,
        disk=lambda: None,
        processes=list,
        is_database_up=lambda: False,
    )


def known_states() -> StateReaders:
    """Every state has a value, and a training job runs."""
    training = TrainingState(
        n_finished={"passed": 3, "fallback": 0, "rejected": 2, "failed": 1, "cancelled": 1},
        n_queued=1,
        waiting_since=0.0,
        running_since=0.0,
        phase="evaluating",
        progress=0.4,
        lease_until=0.0,
        last_seconds=12.5,
        phase_seconds={"loading": 1.5, "evaluating": 8.0},
    )
    return StateReaders(
        snapshot=lambda: SnapshotState(
            7, 0.0, is_fallback=False, is_substitute=False, is_accepted=True, n_quarantined=3, n_capped=5
        ),
        erasures=lambda: ErasureState(2, 1),
        training=lambda: training,
        catalogue=lambda: CatalogueState(100, 40),
        disk=lambda: DiskState(1_000, 250),
        processes=lambda: [ProcessState("worker", "restarting", "", "SIGKILL", 4)],
        is_database_up=lambda: True,
    )
