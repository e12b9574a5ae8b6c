"""Values that have broken other services, each with a name, as JSON and as the text of a parameter."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Value:
    """`json`: as it stands in a body; not always valid JSON. `text`: as it is given in an address, before escaping."""

    name: str
    json: bytes
    text: bytes


def named_values() -> list[Value]:
    """At least 200, each name once."""
    return [*_numbers(), *_texts(), *_times(), *_structures(), *_bytes()]


def _literal(name: str, literal: str) -> Value:
    """Stands in JSON as it is written here."""
    return Value(name, literal.encode(), literal.encode())


def _text(name: str, text: str) -> Value:
    return Value(name, json.dumps(text).encode(), text.encode("utf-8", "surrogatepass"))


def _numbers() -> Iterator[Value]:
    for literal in (
        *(
            "NaN",
            "-NaN",
            "nan",
            "Infinity",
            "-Infinity",
            "inf",
            "1e999",
            "-1e999",
            "1e308",
            "1.8e308",
            "5e-324",
            "1e-400",
        ),
        *("0", "-0", "-0.0", "0.1", "1", "-1", "1.0", "3.5", "4.999999999999999999", "5.0000000001", "6", "100", "1e2"),
        *("1E+2", "1e0", "0.30000000000000004", "2147483647", "2147483648", "-2147483649", "4294967296"),
        *("9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "9223372036854775807"),
        *("9223372036854775808", "-9223372036854775808", "-9223372036854775809", "18446744073709551615"),
        *("18446744073709551616", "1e18", "1e19", "1_000", "0x10", "0b1", "0o7", "01", "+1", ".5", "1.", "1e", "--1"),
        *("1,5", "1e5000000000", "true", "false", "null", "True", "None", "undefined"),
    ):
        yield _literal(f"literal {literal}", literal)
    yield _literal("integer of 400 digits", "9" * 400)
    yield _literal("integer of 5,000 digits", "9" * 5_000)
    yield _literal("fraction of 5,000 digits", "0." + "1" * 5_000)
    for text in (
        "4",
        "4.0",
        "NaN",
        "Infinity",
        "1e999",
        "9223372036854775808",
        "٣",
        "½",
        "\uff11",
        "Ⅳ",
        "0",
        "-1",
        "true",
    ):
        yield _text(f"number as text {text}", text)


def _texts() -> Iterator[Value]:
    for code in (*range(0x20), 0x7F, 0x80, 0x85, 0x9F, 0xA0, 0xAD):
        yield _text(f"with U+{code:04X}", f"a{chr(code)}b")
    for code in (
        0x061C,
        0x200B,
        0x200D,
        0x200E,
        0x2028,
        0x2029,
        0x202E,
        0x2060,
        0x2066,
        0xFEFF,
        0xFFFD,
        0xFFFE,
        0xFFFF,
    ):
        yield _text(f"with U+{code:04X}", f"a{chr(code)}b")
    for code in (0x1F600, 0x1FFFF, 0xE0001, 0xF0000, 0x10FFFF):
        yield _text(f"with U+{code:X}", f"a{chr(code)}b")
    for name, text in {
        "empty": "",
        "space": " ",
        "space before": " a",
        "space behind": "a ",
        "ideographic space before": "\u3000a",
        "no-break space behind": "a\u00a0",
        "dot": ".",
        "two dots": "..",
        "slash": "a/b",
        "backslash": "a\\b",
        "path": "../../etc/passwd",
        "path escaped": "..%2f..%2fetc%2fpasswd",
        "NUL escaped": "%00",
        "NUL alone": "\0",
        "percent": "100%",
        "half an escape": "%z",
        "format": "%s%n%d{0}{a}",
        "shell": "$(id)`id`;id|id",
        "jndi": "${jndi:ldap://127.0.0.1/a}",
        "template": "{{7*7}}",
        "script": "<script>alert(1)</script>",
        "quote": "'",
        "double quote": '"',
        "sql": "'; DROP TABLE users; --",
        "sql union": "' UNION SELECT token_key FROM installation --",
        "sql like": "%_\\",
        "postgres array": "{a,b}",
        "postgres null": "\\N",
        "line feed header": "a\r\nx-evil: 1",
        "NFC": "\u00e9",
        "NFD": "e\u0301",
        "NFC hangul": "\uac00",
        "NFD hangul": "\u1100\u1161",
        "angstrom": "\u212b",
        "ligature": "\ufb01",
        "combining first": "\u0301a",
        "100 combining": "a" + "\u0301" * 100,
        "composes to less": "e\u0301" * 128,
        "decomposes in NFC": "\u0958" * 128,
        "turkish": "\u0130\u0131",
        "sharp s": "\u1e9e\u00df",
        "greek sigma": "\u03a3\u03c2",
        "right to left": "\u05e9\u05dc\u05d5\u05dd",
        "right to left override": "\u202egnp.exe",
        "family": "\U0001f468\u200d\U0001f469\u200d\U0001f467",
        "flag": "\U0001f1eb\U0001f1ee",
        "zalgo": "Z\u0351\u036b\u0343\u036a\u0302",
        "high surrogate": "\ud800",
        "low surrogate": "\udfff",
        "surrogates reversed": "\udc00\ud800",
        "surrogate in a text": "a\ud800b",
        "surrogate pair written singly": "\ud83d\ude00",
        "64 letters": "a" * 64,
        "65 letters": "a" * 65,
        "100 letters": "a" * 100,
        "127 letters": "a" * 127,
        "128 letters": "a" * 128,
        "129 letters": "a" * 129,
        "128 astral": "\U0001f600" * 128,
        "129 astral": "\U0001f600" * 129,
        "1,000 letters": "a" * 1_000,
        "1,001 letters": "a" * 1_001,
        "20,000 letters": "a" * 20_000,
        "proto": "__proto__",
        "constructor": "constructor",
        "dunder": "__class__",
        "latest": "latest",
        "popular": "popular",
        "shown": "shown",
        "filter": 'year > 1 and "a" in categories',
        "filter open": '("a" in categories',
        "filter deep": "(" * 2_000 + "year > 1" + ")" * 2_000,
        "filter not": "not " * 5_000 + "year > 1",
        "filter number": "year > 1e999",
        "filter huge": "year > " + "9" * 500,
        "boost": "year > 1 -> 1e308",
        "boost infinite": "year > 1 -> 1e999",
        "boost negative": "year > 1 -> -1",
        "url": "https://example.com/a?b=c#d",
        "url script": "javascript:alert(1)",
        "url host": "https://[::1",
        "url port": "https://a:99999999/",
        "base64": "AAAA",
        "base64 padded": "AAAA====",
        "cursor of zeros": "A" * 400,
    }.items():
        yield _text(name, text)


def _times() -> Iterator[Value]:
    for text in (
        *("2026-02-30T00:00:00Z", "2026-13-01T00:00:00Z", "2024-02-29T00:00:00Z", "2023-02-29T00:00:00Z"),
        *("9999-12-31T23:59:59Z", "9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00+14:00", "0000-01-01T00:00:00Z"),
        *("10000-01-01T00:00:00Z", "-0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "1970-01-01T00:00:00Z"),
        *("2024-01-01T24:00:00Z", "2024-01-01T23:59:60Z", "2024-01-01T00:00:00", "2024-01-01", "2024-W01-1"),
        *("2024-01-01T00:00:00+99:00", "2024-01-01T00:00:00.1234567890123Z", "20240101T000000Z", "1700000000"),
        *("2024-01-01 00:00:00Z", "2024-01-01T00:00:00z", "2024-01-01T00:00:00 +00:00", "now", "P1D"),
    ):
        yield _text(f"time {text}", text)


def _structures() -> Iterator[Value]:
    for name, literal in {
        "empty list": "[]",
        "empty object": "{}",
        "list of null": "[null]",
        "list of lists": "[[[]]]",
        "list of kinds": '[1, "a", null, {}, [], true]',
        "object": '{"a": 1}',
        "object of object": '{"a": {"a": {"a": {}}}}',
        "empty key": '{"": 1}',
        "key twice": '{"a": 1, "a": 2}',
        "key NUL": '{"\\u0000": 1}',
        "key surrogate": '{"\\ud800": 1}',
        "key NFC and NFD": '{"\\u00e9": 1, "e\\u0301": 2}',
        "key long": json.dumps({"a" * 1_000: 1}),
        "proto": '{"__proto__": {"admin": true}}',
        "depth 90": "[" * 90 + "]" * 90,
        "depth 300": "[" * 300 + "]" * 300,
        "depth 100,000": "[" * 100_000 + "]" * 100_000,
        "objects of depth 20,000": '{"a":' * 20_000 + "1" + "}" * 20_000,
        "1,001 numbers": json.dumps(list(range(1_001))),
        "1,001 equal texts": json.dumps(["a"] * 1_001),
        "10,000 keys": json.dumps({f"k{n}": n for n in range(10_000)}),
        "comment": "1 /* a */",
        "trailing comma": "[1,]",
        "single quotes": "'a'",
        "two values": "1 2",
        "open text": '"a',
        "open list": "[1",
        "open object": '{"a": ',
        "bad escape": '"\\x41"',
        "half an escape of a surrogate": '"\\ud8"',
        "nothing": "",
    }.items():
        yield Value(f"structure {name}", literal.encode(), literal.encode()[:2_000])
    yield Value("more than a body may have", b'"' + b"a" * (MEGABYTE + 1) + b'"', b"a" * 70_000)


def _bytes() -> Iterator[Value]:
    for name, raw in {
        "FF": b"\xff",
        "lone continuation": b"\x80",
        "overlong NUL": b"\xc0\x80",
        "overlong slash": b"\xe0\x80\xaf",
        "cut sequence": b"\xe2\x82",
        "encoded surrogate": b"\xed\xa0\x80",
        "above U+10FFFF": b"\xf4\x90\x80\x80",
        "five bytes": b"\xf8\x88\x80\x80\x80",
        "latin-1": "caf\u00e9".encode("latin-1"),
        "utf-16": "\ufeffa".encode("utf-16-le"),
        "utf-7": b"+AGE-",
        "shift-jis": "\u8868".encode("shift-jis"),
        "byte order mark": b"\xef\xbb\xbf",
    }.items():
        yield Value(f"bytes {name}", b'"a' + raw + b'b"', b"a" + raw + b"b")
