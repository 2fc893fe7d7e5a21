"""Which machine made an image, as a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any


def scanner_of(facts: Mapping[str, Any]) -> str:
    """The hash that the receiver made; without one, 16 hex digits of the SHA-256 of maker, model and station
    of an instance's facts; empty where the header says none of them."""
    if facts.get("scanner"):
        return str(facts["scanner"])
    said = [
        str(facts.get(name) or facts.get(other) or "")
        for name, other in (("maker", "manufacturer"), ("model", "model"), ("station", "station"))
    ]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()[:16] if any(said) else ""
