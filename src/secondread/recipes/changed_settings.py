"""How one recipe differs from another, setting by setting."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

MOST = 5
NOTHING = object()


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """The settings that differ, by their dotted names, each with its value before and now; empty where none
    does. `about` is left out, and so is the seed, which stands by itself.

    >>> changed_settings({"detector": {"k": 5}, "seed": 0}, {"detector": {"k": 9, "l": [1]}, "seed": 1})
    'detector.k: 5, now 9; detector.l: absent, now [1]'
    """
    apart = {"about", "seed"}
    told = list(_changed({k: v for k, v in before.items() if k not in apart},
                         {k: v for k, v in now.items() if k not in apart}, ""))  # fmt: skip
    more = f"; and {len(told) - MOST} more" if len(told) > MOST else ""
    return "; ".join(told[:MOST]) + more


def _changed(before: Any, now: Any, name: str) -> Iterator[str]:
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        for key in dict.fromkeys((*before, *now)):
            inner = f"{name}.{key}" if name else str(key)
            yield from _changed(before.get(key, NOTHING), now.get(key, NOTHING), inner)
    elif before != now:
        yield f"{name}: {_short(before)}, now {_short(now)}"


def _short(value: Any) -> str:
    if value is NOTHING:
        return "absent"
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."
