import pytest

from app.store import erasures


@pytest.fixture
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that delete hundreds of users, each of whose receipts has a hash that is slow on purpose."""
    monkeypatch.setattr(erasures, "COST", 2)
