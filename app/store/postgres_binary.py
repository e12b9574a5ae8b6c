"""The binary formats of Postgres, for arrays of parameters and for the rows of COPY.

The driver writes each number of a list as text, and quotes it; for thousands of them that takes longer than the
statement that reads them. numpy writes them all at once: the formats hold numbers in network byte order, each after its
length.
The formats: https://www.postgresql.org/docs/current/sql-copy.html and `array_recv` in the source of the server.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import psycopg
from numpy.typing import NDArray
from psycopg.adapt import Dumper
from psycopg.pq import Format

NUMBERS = {"i": (20, ">i8"), "f": (701, ">f8")}
"""By the kind of a dtype: the object id of the type of elements (bigint, float8), and their form."""

TEXT = 25

COPY_HEADER = b"PGCOPY\n\xff\r\n\0" + struct.pack(">ii", 0, 0)
COPY_TRAILER = struct.pack(">h", -1)

LENGTHS = [struct.pack(">i", n) for n in range(1 << 10)]


class TextArray(list[str]):
    """A parameter of the type `text[]` without nulls."""


class NumberArrayDumper(Dumper):
    """Dumps an (n,) array of integers or floats as `bigint[]` or `float8[]`."""

    format = Format.BINARY

    def dump(self, obj: NDArray[Any]) -> bytes:
        element, form = NUMBERS[obj.dtype.kind]
        elements = np.empty(len(obj), [("length", ">i4"), ("value", form)])
        elements["length"], elements["value"] = 8, obj
        return _array_header(element, len(obj)) + elements.tobytes()


class TextArrayDumper(Dumper):
    format = Format.BINARY

    def dump(self, obj: TextArray) -> bytes:
        encoding = self.connection.info.encoding if self.connection else "utf-8"
        encoded = [text.encode(encoding) for text in obj]
        parts = [part for text in encoded for part in (_length(text), text)]
        return _array_header(TEXT, len(encoded)) + b"".join(parts)


def register(connection: psycopg.Connection[Any]) -> None:
    """Let the connection take arrays of numpy and `TextArray` as parameters."""
    connection.adapters.register_dumper(np.ndarray, NumberArrayDumper)
    connection.adapters.register_dumper(TextArray, TextArrayDumper)


def copy_rows(columns: Sequence[NDArray[Any]], nulls: Sequence[NDArray[np.bool_]]) -> bytes:
    """The rows of a `COPY ... FROM STDIN (FORMAT BINARY)`, in any order.

    `columns`: (n,) each, integers or floats. `nulls`: (n,) each, where a column is NULL.
    """
    kinds = np.zeros(len(columns[0]), np.int64)
    for place, is_null in enumerate(nulls):
        kinds |= is_null.astype(np.int64) << place
    # A NULL takes no bytes, so rows of the same NULLs are of one form.
    parts = [COPY_HEADER]
    for kind in np.unique(kinds).tolist():
        of_kind = kinds == kind
        form, fields = [("n_fields", ">i2")], {}
        for place, column in enumerate(columns):
            form.append((f"length{place}", ">i4"))
            fields[f"length{place}"] = np.int32(8)
            if kind >> place & 1:
                fields[f"length{place}"] = np.int32(-1)
            else:
                form.append((f"value{place}", NUMBERS[column.dtype.kind][1]))
                fields[f"value{place}"] = column[of_kind]
        rows = np.empty(np.count_nonzero(of_kind), form)
        rows["n_fields"] = len(columns)
        for name, values in fields.items():
            rows[name] = values
        parts.append(rows.tobytes())
    return b"".join([*parts, COPY_TRAILER])


def _array_header(element: int, n: int) -> bytes:
    """One dimension of n elements without NULLs, counted from 1."""
    return struct.pack(">iiIii", 1, 0, element, n, 1)


def _length(text: bytes) -> bytes:
    return LENGTHS[len(text)] if len(text) < len(LENGTHS) else struct.pack(">i", len(text))
