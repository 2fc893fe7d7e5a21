"""Who may send: application entities by title and address."""

from __future__ import annotations

import ipaddress
import socket
import threading
import time

from secondread.service.settings.receiving import Peer, ReceivingSettings

REMEMBERED_S = 60.0


class Peers:
    """The peers of a configuration. Without any, every title from this machine alone is let in."""

    def __init__(self, settings: ReceivingSettings) -> None:
        self._peers = {peer.title.strip(): peer for peer in settings.peers}
        self._lock = threading.Lock()
        self._resolved: dict[str, tuple[float, frozenset[str]]] = {}

    def allows(self, title: str, address: str) -> bool:
        """Whether an entity of this title may send from this IP address."""
        if not self._peers:
            return plain(address).is_loopback
        peer = self._peers.get(title)
        return peer is not None and str(plain(address)) in self._addresses(peer.address)

    def named(self, title: str) -> Peer | None:
        return self._peers.get(title)

    def _addresses(self, host: str) -> frozenset[str]:
        with self._lock:
            known = self._resolved.get(host)
        if known is not None and time.monotonic() - known[0] < REMEMBERED_S:
            return known[1]
        try:
            found = frozenset(
                str(plain(str(info[4][0])))
                for info in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            )
        except OSError:
            return frozenset() if known is None else known[1]
        with self._lock:
            self._resolved[host] = (time.monotonic(), found)
        return found


def plain(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An address without its zone, and as IPv4 where IPv6 only wraps it."""
    found = ipaddress.ip_address(address.partition("%")[0])
    return getattr(found, "ipv4_mapped", None) or found
