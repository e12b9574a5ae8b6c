"""Generated covers: the title of an item on the colour of its first category, for items without a picture."""

import textwrap
import zlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

N_SHADES = 8
LINE_LENGTH, LONG_LINE, MAX_LINES = 11, 16, 5
"""Characters of a line, and of one in smaller letters, for words that are longer."""

TOP, LINE_HEIGHT = 22, 10


@dataclass(frozen=True, slots=True)
class CoverLine:
    text: str
    y: int


@dataclass(frozen=True, slots=True)
class Cover:
    """`shade`: the number of the colour. `is_small`: whether the letters are smaller. `image_url`: the picture to show
    above it; None without one.
    """

    lines: tuple[CoverLine, ...]
    shade: int
    is_small: bool
    image_url: str | None = None


def is_shown(image_url: str, hosts: Collection[str]) -> bool:
    """Whether the policy of the pages allows the picture: from one of the hosts, or below one that begins with `*.`."""
    try:
        parts = urlsplit(image_url)
        host, has_port = (parts.hostname or ""), parts.port is not None
    except ValueError:
        return False
    is_allowed = host in hosts or any(each.startswith("*.") and host.endswith(each[1:]) for each in hosts)
    return parts.scheme == "https" and not has_port and is_allowed


def cover_of(title: str, categories: Sequence[str] = (), image_url: str | None = None) -> Cover:
    """`title`: or the id of an item without one."""
    shortened = title[:200]
    is_small = any(len(word) > LINE_LENGTH for word in shortened.split())
    length = LONG_LINE if is_small else LINE_LENGTH
    wrapped = textwrap.wrap(shortened, length, max_lines=MAX_LINES, placeholder="…")
    lines = tuple(CoverLine(text, TOP + LINE_HEIGHT * place) for place, text in enumerate(wrapped))
    # The same category has the same colour on every page and in every process.
    named = categories[0] if categories else ""
    # The browser asks hosts by HTTPS alone: the policy of the pages allows no other scheme.
    is_secure = image_url is not None and image_url.lower().startswith("https://")
    return Cover(lines, zlib.crc32(named.encode()) % N_SHADES, is_small, image_url if is_secure else None)
