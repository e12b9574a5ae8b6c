"""How often a key may be used, and how often an address may fail to name a valid one."""

import re
import time
from ipaddress import IPv6Address, ip_address
from pathlib import Path

import limits
from limits import RateLimitItem
from limits.strategies import SlidingWindowCounterRateLimiter

from app.auth.errors import RateLimitedError
from app.auth.shared_counts import SharedCounts
from app.errors import InvalidInputError

FAILED_ATTEMPTS = limits.parse("30/minute")
"""Of one address with keys that are not valid."""

MAX_AMOUNT = 10**9
"""Of the requests of a limit."""

LIMIT = re.compile(r"([0-9]{1,10})/(second|minute|hour|day)")

IPV6_NETWORK = 64
"""Bits of an IPv6 address that count as one peer: a host may take any address of such a network."""


def check_limit(text: str) -> None:
    """Raise `InvalidInputError` unless the text is a limit, such as `100/second`."""
    # The library reads more: other units, and several limits, of which it takes the first alone.
    found = LIMIT.fullmatch(text)
    if found is None or not 1 <= int(found[1]) <= MAX_AMOUNT:
        message = f"{text!r} is no limit: NUMBER/second, /minute, /hour or /day, such as 100/second"
        raise InvalidInputError(message, field="rate_limit")


def stored_limit(text: str) -> RateLimitItem:
    """Return the limit of a stored key, in any form that the library reads: an earlier build accepted all of them."""
    return limits.parse(text)


class RateLimits:
    """Sliding windows: of a limit of n per second, n requests are allowed in about every second."""

    def __init__(self, file: Path | None) -> None:
        # Two regions: addresses are many, and must not push out the counts of keys.
        self._requests = SlidingWindowCounterRateLimiter(SharedCounts(file, 0))
        self._failures = SlidingWindowCounterRateLimiter(SharedCounts(file, 1))

    def count_request(self, limit: RateLimitItem, *whose: str) -> None:
        """Raises `RateLimitedError` if the limit is reached; the request does not count then."""
        if not self._requests.hit(limit, *whose):
            seconds = self._requests.get_window_stats(limit, *whose).reset_time - time.time()
            raise RateLimitedError(f"the limit of this API key is {limit}", seconds)

    def count_failure(self, address: str) -> None:
        """Raises `RateLimitedError` if the address has failed too often."""
        if not self._failures.hit(FAILED_ATTEMPTS, peer_of(address)):
            raise self._too_many_failures(address)

    def check_failures(self, address: str) -> None:
        """Raises `RateLimitedError` if the address has failed too often. Counts nothing."""
        if not self._failures.test(FAILED_ATTEMPTS, peer_of(address)):
            raise self._too_many_failures(address)

    def _too_many_failures(self, address: str) -> RateLimitedError:
        seconds = self._failures.get_window_stats(FAILED_ATTEMPTS, peer_of(address)).reset_time - time.time()
        return RateLimitedError("too many requests from this address had no valid API key", seconds)


def peer_of(address: str) -> str:
    """Return what counts as one peer: an IPv4 address, or the network of an IPv6 address."""
    if ":" not in address:
        return address
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return f"{int(parsed) >> (128 - IPV6_NETWORK):x}::"
