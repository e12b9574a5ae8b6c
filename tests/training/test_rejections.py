from app.store import Store
from app.training.rejections import rejection_warning


def end(store: Store, state: str, reason: str = "worse", advice: str | None = "train otherwise") -> None:
    store.jobs.enqueue("request")
    claim = store.jobs.claim("a-worker", lease_seconds=60)
    assert claim is not None
    if state == "succeeded":
        version = store.snapshots.next_version()
        store.snapshots.register(claim, version=version, path=f"snapshots/{version}", card={})
    else:
        store.jobs.finish(claim, state=state, reason=reason, advice=advice)


def test_two_in_a_row(store: Store) -> None:
    end(store, "succeeded")
    end(store, "rejected")
    assert rejection_warning(store) is None
    end(store, "failed", "no room")
    end(store, "rejected", "still worse")
    warning = rejection_warning(store)
    assert warning is not None
    assert warning.reason.startswith("the last 2 training runs were rejected, and snapshot 1 of 2")
    assert warning.reason.endswith(" stays live: still worse")
    assert warning.lines == [f"warning: {warning.reason}", "what to do: train otherwise"]
    end(store, "succeeded")
    assert rejection_warning(store) is None


def test_nothing_live(store: Store) -> None:
    for _ in range(2):
        end(store, "rejected", "there are no ratings", advice=None)
    warning = rejection_warning(store)
    assert warning is not None
    assert "nothing is live: there are no ratings" in warning.reason
    assert warning.advice
