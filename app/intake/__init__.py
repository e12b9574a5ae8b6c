"""Step 1: ratings, items, users, events, event types and placements come in, as files or requests, and go out again.

Owns every file layout Reckon reads (MovieLens in all its layouts, CSV, TSV, JSONL, Parquet), the export, the MovieLens
download and the generated catalogue. Imports only `store`, `entities`, `errors` and numpy; Parquet needs the extra.

How a file becomes ratings, one module per step:

    files -> layouts, movielens -> delimited | json_lines | parquet -> blocks
        -> ratings | entries | events | configuration -> importing

What arrives in requests is checked and stored by `recording`.

Every reader yields *blocks*: some ten thousand rows, column by column, as text. So each conversion is written once for
all layouts and runs over whole columns, and memory does not grow with the file.

Refused: pandas and polars (a large dependency for what 100 lines do at 1 M rows/s); guessing the order of columns in
files without a header (a silent swap of users and items is worse than a message); guessing encodings (a line that is
not UTF-8 is set aside with its number, except in the MovieLens layouts that are known to be Latin-1); unpacking
archives to disk (members are streamed by position, so no stored name ever becomes a path); a reader thread
(measured: no gain, as cutting lines holds the interpreter lock that writing waits for).
"""
