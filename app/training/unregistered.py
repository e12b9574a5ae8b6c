"""Removes from object storage what is not registered: left by runs that were killed or cut off."""

from app.snapshots.folders import SnapshotFolders
from app.store.store import Store


def remove_unregistered_objects(store: Store, folders: SnapshotFolders) -> bool:
    """Whether no unregistered object is left. Without object storage there is none.

    Nothing is removed while a run may be uploading. That is what the jobs tell: the age of an object would compare the
    clocks of machines. Raises `ObjectStorageError`, and `PrefixTakenError` if `live.json` is not readable.
    """
    bucket = folders.bucket
    if bucket is None:
        return True
    # In this order: what is uploaded later belongs to a run that began later. Of a run that has lost its job, even what
    # it still uploads may go, since it cannot register it.
    found = bucket.versions()
    is_running = store.jobs.summary().running is not None
    leftovers = found - store.snapshots.versions()
    if is_running or not leftovers:
        return not leftovers
    bucket.remove(leftovers, store.instance.database_id)
    return True
