"""So many a minute for each key: a bucket of tokens that fills evenly."""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict

MOST_KEYS = 20_000
"""Buckets that are kept; those of whoever was silent longest go first."""


class Rate:
    """At most `per_minute` at once, and as many in each minute that follows.

    The bucket of a key that had to make room for others is full again. So whoever has twenty thousand
    addresses gets past it: it holds back a guesser and a runaway script, not a botnet.
    """

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, key: str) -> float:
        """0, and one token is taken; or how many seconds until there is one."""
        at = time.monotonic()
        with self._lock:
            tokens, then = self._buckets.pop(key, (float(self.per_minute), at))
            tokens = min(float(self.per_minute), tokens + (at - then) * self.per_minute / 60)
            taken = tokens >= 1
            self._buckets[key] = (tokens - 1 if taken else tokens, at)
            if len(self._buckets) > MOST_KEYS:
                self._buckets.popitem(last=False)
        return 0.0 if taken else (1 - tokens) * 60 / self.per_minute


def neighbourhood(address: str) -> str:
    """What counts as one address: of IPv6 the network of a household, /64."""
    try:
        known = ipaddress.ip_address(address)
    except ValueError:
        return address
    if isinstance(known, ipaddress.IPv6Address):
        if known.ipv4_mapped is not None:
            return str(known.ipv4_mapped)
        return str(ipaddress.ip_network((known, 64), strict=False))
    return str(known)
