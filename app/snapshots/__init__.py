"""Step 6: the published format alone. One snapshot is one immutable numbered folder.

Owns the manifest, the names, dtypes and shapes of the arrays that every snapshot has, the durable writing of a folder,
its verification (checksums, sizes, shapes, agreement between files) and the removal of folders that are no longer used.
What the arrays mean, and the arrays that only some snapshots have, belong to `segments` and `scoring`.

May import: entities and errors. Not imported: segments and scoring, so a segment is added without a change here.

Refused: pickle in any form (a file that runs code when read); a database blob (no mapping, no sharing between
processes); trusting a file because its folder was renamed into place (FAISS and numpy load damaged bytes without
complaint, so checksums come first).

With object storage (`object_store`, the only home of obstore, and `bucket`), the data folder holds copies: `folders`
says where a folder is, and `fetching` brings one in a thread that ends with the process.
"""
