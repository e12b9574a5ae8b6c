"""The audit log: who has done which administrative act, when, and what came of it; never values or secrets.

An entry is a line of the log as well, which a collector can keep where this database cannot be changed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
import structlog

from app.entities import from_microseconds
from app.errors import ReckonError
from app.store.database import Database
from app.store.schema import audit_log
from app.texts import nfc, redacted

log = structlog.get_logger()

COMMAND_LINE = "command line"
ANY_CALLER = "anyone"
"""Who calls an open service, or has no valid key."""

SUCCEEDED = "succeeded"
MAX_TARGET = 200


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """`actor`: the id of a key, `command line`, or `anyone` where the service is open. `outcome`: `succeeded`, or the
    type of the error.
    """

    at: datetime
    actor: str
    action: str
    target: str
    outcome: str


def _storable(target: str) -> str:
    """Without secrets and characters that a database may refuse, in Unicode normal form C, as long as a name may be."""
    shown = "".join(each if each.isprintable() else f"\\u{ord(each):04x}" for each in nfc(redacted(target)))
    return shown[:MAX_TARGET]


class AuditLog:
    def __init__(self, database: Database) -> None:
        self._database = database

    def record(self, actor: str, action: str, target: str, outcome: str = SUCCEEDED) -> None:
        """Write the line first: the act is known even if the database fails now, which the log then says as well."""
        # A target is a part of an address, into which a caller may have put anything.
        values = {"actor": actor, "action": action, "target": _storable(target), "outcome": outcome}
        log.info("audit", **values)
        try:
            with self._database.writing(uses_reserve=True) as connection:
                at = self._database.dialect.now(connection)
                connection.execute(sa.insert(audit_log).values(at=at, **values))
        except ReckonError as error:
            # The act itself is done, or has failed with an error that tells more.
            log.error("audit entry not stored", action=action, why=error.detail)  # noqa: TRY400  expected errors have no traceback

    def record_refusal(self, actor: str, action: str, target: str, outcome: str, *, n_left_out: int) -> None:
        """As `record`. `n_left_out`: refusals since the last entry of one that got none; see `app.auth.refusals`."""
        left_out = f"({n_left_out} more refusals before)" if n_left_out else ""
        self.record(actor, action, f"{target} {left_out}".strip(), outcome)

    def entries(self, limit: int) -> Sequence[AuditEntry]:
        """The newest entries, newest first."""
        statement = sa.select(audit_log).order_by(audit_log.c.entry_key.desc()).limit(limit)
        with self._database.reading() as connection:
            return [
                AuditEntry(from_microseconds(row.at), row.actor, row.action, row.target, row.outcome)
                for row in connection.execute(statement)
            ]
