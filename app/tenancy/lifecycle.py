"""Creates, suspends and deletes tenants. Each step can be repeated after an interruption."""

import time
from dataclasses import dataclass

import structlog

from app.errors import ReckonError
from app.settings import Settings, schema_of
from app.store import Store, migrate
from app.store.backup import adopt
from app.store.tenant_database import make_schema, remove_database
from app.wiring import open_store, snapshot_folders

KNOWN_SECONDS = 3.0
"""After this time every process has noticed that a tenant is over: each reads the keys once a second."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class TenantLifecycle:
    """`settings`: of the deployment. `store`: the main one."""

    settings: Settings
    store: Store

    def create(self, name: str) -> None:
        self.store.tenants.begin(name)
        self.migrate(name)
        self.store.tenants.move(name, "active", among=["creating"])

    def migrate(self, name: str) -> str | None:
        """Create or upgrade the tables of the tenant. Returns as `app.store.migrate`."""
        own = self.settings.of_tenant(name)
        make_schema(self.store.database, schema_of(name))
        return migrate(own.database_url, own.data_dir)

    def delete(self, name: str) -> None:
        """Revoke the keys of the tenant, and remove its database, snapshots and files.

        Raises `ObjectStorageError`, and can be repeated, where its objects cannot be removed.
        """
        self.store.tenants.move(name, "deleting", among=["creating", "active", "suspended"])
        time.sleep(KNOWN_SECONDS)
        time.sleep(self._end_runs(name))
        own = snapshot_folders(self.settings.of_tenant(name))
        if own.bucket is not None:
            own.bucket.remove_all()
        remove_database(self.store.database, schema_of(name), self.settings.of_tenant(name).data_dir)
        self.store.tenants.end(name)

    def _end_runs(self, name: str) -> float:
        """End the runs of workers, which would go on to write; return the seconds until they notice."""
        try:
            own = open_store(self.settings.of_tenant(name))
        except ReckonError as error:  # it was never complete, or is damaged: no worker can claim anything
            log.warning("runs of the tenant not ended", tenant=name, why=error.detail)
            return 0.0
        try:
            is_running = any(job.state == "running" for job in own.jobs.latest())
            adopt(own.database)
        finally:
            own.close()
        return self.settings.worker_lease_seconds if is_running else 0.0
