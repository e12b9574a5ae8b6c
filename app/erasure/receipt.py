"""The receipt of an erasure: a JSON document, signed once the erasure is completed.

The signature is HMAC-SHA-256 over the document without it, as JSON with sorted keys and without spaces. `salt` and
`user_hash` show to a person who knows the id that it is the one that was erased.
"""

import hashlib
import hmac
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from app.store.erasures import HASH, Erasure, hash_of

PURPOSE = b"receipt of an erasure\0"
"""Before what is signed, since the key signs other things as well."""

NOT_REACHED = (
    "Backups and copies of the database made before: `reckon restore` erases again, other ways to restore do not",
    "On Postgres: archives and old segments of the write-ahead log, replicas and dumps",
    "Exports, and logs of proxies in front of the service",
)
"""What the operator has to look after."""

REMOVED = ("ratings", "events", "deleted_events", "redirects", "items", "rejected_rows", "rejected_files")
"""The kinds that a receipt counts. `ratings`: with deleted ones; `items`: those whose creator the user was."""


def receipt_of(erasure: Erasure, database_id: str, key: bytes) -> dict[str, Any]:
    """The receipt as values of JSON. `key`: of the database."""
    is_completed = erasure.completed_at is not None
    document: dict[str, Any] = {
        "erasure_id": erasure.erasure_id,
        "database_id": database_id,
        "state": "completed" if is_completed else "pending",
        "requested_at": _moment(erasure.requested_at),
        "due_at": _moment(erasure.due_at),
        "completed_at": _moment(erasure.completed_at),
        "user_hash": erasure.user_hash,
        "salt": erasure.salt,
        "hash_algorithm": HASH,
        "removed": {name: erasure.removed.get(name, 0) for name in REMOVED},
        "removed_snapshots": list(erasure.removed_snapshots),
        "snapshot_version": erasure.snapshot_version,
        "backups": [{"file": each.file, "made_at": _moment(each.made_at)} for each in erasure.backups],
        "not_reached": list(NOT_REACHED),
    }
    return document | {"signature": signature_of(document, key) if is_completed else None}


def signature_of(document: Mapping[str, Any], key: bytes) -> str:
    """The signature, hexadecimal. `document`: of a receipt, with or without one."""
    signed = {name: value for name, value in document.items() if name != "signature"}
    canonical = json.dumps(signed, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hmac.new(key, PURPOSE + canonical.encode(), hashlib.sha256).hexdigest()


def is_genuine(document: Mapping[str, Any], key: bytes) -> bool:
    """Whether the receipt was signed with this key and not changed since."""
    signature = document.get("signature")
    return isinstance(signature, str) and hmac.compare_digest(
        signature.encode(errors="replace"), signature_of(document, key).encode()
    )


def is_of(document: Mapping[str, Any], user_id: str) -> bool:
    """Whether the receipt is of this user."""
    return hmac.compare_digest(hash_of(user_id, document["salt"]), document["user_hash"])


def _moment(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat().replace("+00:00", "Z")
