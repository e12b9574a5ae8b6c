"""Moved: see `app.snapshots.describe`."""

from app.snapshots.describe import Encodings, describe, item_table, user_table

__all__ = ["Encodings", "describe", "item_table", "user_table"]
