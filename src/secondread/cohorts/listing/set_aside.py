"""What `index` did not take, and why."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SetAside:
    """A file, or a series of `files` files in a folder, that became no row.

    `unreadable` tells a broken file from one that was set apart on purpose (a localiser, say).
    """

    path: str
    reason: str
    files: int = 1
    unreadable: bool = False

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}" + (f" ({self.files} files)" if self.files > 1 else "")
