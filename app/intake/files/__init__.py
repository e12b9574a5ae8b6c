"""Files as bytes and texts: what lies at a path, how it is unpacked and decoded, and how tables are written.

`listing` lists the files of a path, with those in its folders and archives. `sources` are their bytes; `compression`
and `archives` unpack them. `chunks` cuts texts, decoded by `encodings`, into whole lines. `table_writers` write CSV and
JSONL files.
"""
