"""Step 6: a published set of learned vectors, as one immutable numbered folder.

Owns the format of that folder: writing it aside and durably, refusing what is damaged or foreign, mapping what is
sound, swapping the live one under running requests, and clearing away what nobody uses. It is the only home of FAISS.
Because the item side and the user side meet here, it also owns their arithmetic: the score is one dot product.

May import: numpy, faiss, `algorithms` (the fold-in), entities and errors; nothing that imports numba, since every API
process loads this package. Training writes snapshots, serving reads them, and neither sees a file name.

Refused: pickle in any form (a file that runs code when read); a database blob (no mapping, no sharing between
processes); FAISS's own id map (rows are positions in `item_keys`, so one array answers for all files); trusting a file
because its folder was renamed into place (FAISS and numpy load damaged bytes without complaint: checksums come first).
"""

from app.snapshots.active import ActiveSnapshot, Refresh
from app.snapshots.index import NO_HISTORY
from app.snapshots.read import open_snapshot
from app.snapshots.scorer import UserSide
from app.snapshots.snapshot import Snapshot
from app.snapshots.write import write_snapshot

__all__ = ["NO_HISTORY", "ActiveSnapshot", "Refresh", "Snapshot", "UserSide", "open_snapshot", "write_snapshot"]
