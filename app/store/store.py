"""The store: one database, and an object for each part of what it keeps."""

from pathlib import Path

from app.errors import ReckonError
from app.store.api_keys import ApiKeys
from app.store.arrivals import Arrivals
from app.store.audit import AuditLog
from app.store.connection_budget import ConnectionBudget
from app.store.database import Database, open_database
from app.store.erasures import Erasures
from app.store.events import Events
from app.store.former_snapshots import FormerSnapshots
from app.store.generation import Generation
from app.store.group_commit import GroupCommit
from app.store.imports import Imports
from app.store.instance import Instance
from app.store.items import Items
from app.store.jobs import Jobs
from app.store.kept_answers import KeptAnswers
from app.store.known_ids import KnownIds
from app.store.likes import Likes
from app.store.migration import Schema, SchemaError, schema_of
from app.store.placements import Placements
from app.store.processes import Processes
from app.store.quarantine import Quarantine
from app.store.ratings import Ratings
from app.store.run_logs import RunLogs
from app.store.serving_reads import ServingReads
from app.store.snapshots import SnapshotRegister
from app.store.tenants import Tenants
from app.store.training_reads import TrainingReads
from app.store.trends import Trends
from app.store.user_data import UserData
from app.store.users import Users


class Store:
    """Opened once a process. Raises `SchemaError` unless the database has exactly this version's tables.

    `rejects_unknown_items`: whether ratings and events of items that are not stored are refused, row by row. Otherwise
    each inserts a bare item.
    """

    def __init__(self, database: Database, *, rejects_unknown_items: bool = False) -> None:
        self.database = database
        self.availability = database.availability
        self.rejects_unknown_items = rejects_unknown_items
        self.instance = Instance(database)
        self.generation = Generation(database)
        self.ratings = Ratings(database, rejects_unknown_items=rejects_unknown_items)
        self.items = Items(database)
        self.users = Users(database)
        self.known_ids = KnownIds(database)
        self.erasures = Erasures(database)
        self.reads = ServingReads(database)
        self.training_reads = TrainingReads(database)
        self.events = Events(database, rejects_unknown_items=rejects_unknown_items)
        self.user_data = UserData(database, self.events)
        self.trends = Trends(database)
        self.likes = Likes(database)
        self.kept_answers = KeptAnswers(database)
        self.group_commit = GroupCommit(database, self.ratings, self.kept_answers)
        self.placements = Placements(database)
        self.quarantine = Quarantine(database)
        self.jobs = Jobs(database)
        self.run_logs = RunLogs(database)
        self.snapshots = SnapshotRegister(database)
        self.former_snapshots = FormerSnapshots(database)
        self.api_keys = ApiKeys(database)
        self.audit = AuditLog(database)
        self.tenants = Tenants(database)
        self.imports = Imports(database)
        self.arrivals = Arrivals(database)
        self.processes = Processes(database)

    @classmethod
    def open(
        cls,
        url: str,
        data_dir: Path,
        *,
        rejects_unknown_items: bool = False,
        wait_seconds: float | None = None,
        budget: ConnectionBudget | None = None,
    ) -> "Store":
        """`wait_seconds`, `budget`: as of `open_database`."""
        database = open_database(url, data_dir, wait_seconds=wait_seconds, budget=budget)
        try:
            schema = schema_of(database)
            if schema is Schema.NEWER:
                raise SchemaError("the database was made by a newer version of Reckon: install that version")
            if schema is not Schema.CURRENT:
                raise SchemaError(f"the database is {schema.value}: run `reckon migrate`")
            return cls(database, rejects_unknown_items=rejects_unknown_items)
        except ReckonError:
            # A caller that gets no store cannot close the connections.
            database.close()
            raise

    def shared_clock(self) -> int | None:
        """The clock of the database, microseconds UTC; None where it is that of this host. Blocks."""
        return self.database.now() if self.database.dialect.has_own_clock else None

    def close(self) -> None:
        # First: the pending writes need the database.
        self.group_commit.close()
        self.database.close()
