"""Step 1: take in ratings, items, users, events, event types and placements, and export them.

This package owns every file layout that Reckon reads (all MovieLens layouts, CSV, TSV, JSONL, Parquet), the export, the
MovieLens download and the generated catalogue. It imports only `store`, `entities`, `errors`, numpy and
`algorithms.progress`, the type of a progress callback. Optional extras read some formats (`files.extras`).

The sub-packages are the steps of an import, and each imports only those before it:

    files -> column_names -> cells -> recognition -> formats

`files` lists and unpacks the files of a path and cuts their texts into lines. `column_names` reads the names of their
columns, `cells` the values. `recognition` decides what the rows of a table are. `formats` (one module a format) read
files as blocks under their own column names. `scales` decides what the values of all ratings are.

The modules beside them use these steps:

    layouts -> ratings | entries | events | configuration -> importing -> report

`layouts` gathers the tables of a path. `blocks` and `hints` are what all steps pass on: the data, and what the user
states of it.

Ratings and events that arrive in requests are checked and stored by `recording`.

Every reader yields *blocks*: about 25,000 rows, stored column by column. Each conversion is therefore written once for
all layouts, works on whole columns, and uses memory that does not grow with the file.

Rejected alternatives:

- pandas or polars: a large dependency for what 100 lines do at 1 M rows/s.
- Guessing the order of the columns in a file without a header: swapping users and items silently is worse than an
  error message, which proposes the order.
- Guessing encodings: a line that is not UTF-8 is rejected with its line number, and the reason names `--encoding`. The
  exceptions are the MovieLens layouts that are known to be Latin-1.
- Unpacking archives to disk: members are streamed, or copied to one temporary file without a name where they need
  random access, so a name stored in an archive never becomes a path.
- A reader thread: measured without gain, because splitting lines holds the interpreter lock that the writer needs.
"""
