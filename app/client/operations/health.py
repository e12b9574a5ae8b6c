"""For probes."""

from dataclasses import dataclass

from ..call import Request, operation


@dataclass(frozen=True, slots=True)
class Health:
    status: str


@dataclass(frozen=True, slots=True)
class Readiness:
    """`snapshot_version`: None while nothing is learned; answers are popular items then."""

    status: str
    snapshot_version: int | None


class HealthOperations:
    @operation("GET", "/livez")
    def livez(self) -> Request[Health]:
        """The process runs."""
        return Request(Health)

    @operation("GET", "/readyz")
    def readyz(self) -> Request[Readiness]:
        """Requests can be answered; raises `UnavailableError` while the database does not."""
        return Request(Readiness)
