"""Step 1: take in ratings, items, users, events, event types and placements, and export them.

This package owns every file layout that Reckon reads (all MovieLens layouts, CSV, TSV, JSONL, Parquet), the export, the
MovieLens download and the generated catalogue. It imports only `store`, `entities`, `errors`, numpy and
`algorithms.progress`, the type of a progress callback. Parquet needs pyarrow, an optional extra.

The modules follow the path of an import:

    files -> layouts, movielens -> chunks -> delimited | json_lines | parquet -> blocks
        -> ratings | entries | events | configuration -> importing -> report

Ratings and events that arrive in requests are checked and stored by `recording`.

Every reader yields *blocks*: about 25,000 rows, stored column by column. Each conversion is therefore written once for
all layouts, works on whole columns, and uses memory that does not grow with the file.

Rejected alternatives:

- pandas or polars: a large dependency for what 100 lines do at 1 M rows/s.
- Guessing the order of the columns in a file without a header: swapping users and items silently is worse than an
  error message.
- Guessing encodings: a line that is not UTF-8 is rejected with its line number. The exceptions are the MovieLens
  layouts that are known to be Latin-1.
- Unpacking archives to disk: members are streamed, so a name stored in an archive never becomes a path.
- A reader thread: measured without gain, because splitting lines holds the interpreter lock that the writer needs.
"""
