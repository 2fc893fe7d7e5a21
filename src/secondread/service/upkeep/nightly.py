"""A backup each night, and the oldest ones go.

It is made in a thread of its own, since copying may take long and the keeper has other duties. One that is
killed leaves a folder under another name, which the next one removes.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from secondread.outputs.whole import remove_folder, remove_unheld
from secondread.service.settings.service import ServiceSettings
from secondread.service.store.jobs import now
from secondread.service.upkeep.backup import make_backup
from secondread.service.upkeep.manifest import NAME
from secondread.terminal.events import log_event

FORM = "backup-%Y-%m-%dT%H%M%SZ"
_NAME = re.compile(r"backup-\d{4}-\d\d-\d\dT\d{6}Z")
_LEFT = re.compile(rf"\.{_NAME.pattern}\..*\.writing")


class Nightly:
    """Call `look` often, in the keeper: it makes a backup when the hour has come and none was made since."""

    def __init__(self, settings: ServiceSettings, clock: Callable[[], datetime] = now) -> None:
        self.settings, self._clock = settings, clock
        self._thread: threading.Thread | None = None
        self._failure: BaseException | None = None

    def look(self) -> bool:
        """Whether a backup was begun. Raises what made the last one that ended fail, until one is made."""
        at, begun, failure = self._clock(), False, self._failure
        if (self._thread is None or not self._thread.is_alive()) and is_due(self.settings, at):
            self._thread = threading.Thread(target=self._make, args=(at,), name="backup", daemon=True)
            self._thread.start()
            begun = True
        if failure is not None:
            raise failure
        return begun

    def wait(self, seconds: float) -> None:
        if self._thread is not None:
            self._thread.join(seconds)

    def _make(self, at: datetime) -> None:
        try:
            folder = Path(self.settings.upkeep.backups)
            _clear(folder)
            make_backup(self.settings, folder / at.strftime(FORM), spool=self.settings.upkeep.backup_spool)
            prune(folder, self.settings.upkeep.keep)
            self._failure = None
        except BaseException as error:
            self._failure = error


def is_due(settings: ServiceSettings, at: datetime) -> bool:
    """Whether there is none since the last time that it was `upkeep.backup_hour` here. One of the future was
    made before the clock was set back, and counts for nothing."""
    if not settings.upkeep.backups:
        return False
    here = at.astimezone()
    hour = here.replace(hour=settings.upkeep.backup_hour, minute=0, second=0, microsecond=0)
    if hour > here:
        hour -= timedelta(days=1)
    return not any(hour <= made <= at for made in backups(Path(settings.upkeep.backups)).values())


def backups(folder: Path) -> dict[Path, datetime]:
    """Those that were made by night, the newest first."""
    try:
        found = [path for path in folder.iterdir() if _NAME.fullmatch(path.name) and (path / NAME).is_file()]
    except OSError:
        return {}
    made = {path: datetime.strptime(path.name, FORM).replace(tzinfo=UTC) for path in found}
    return dict(sorted(made.items(), key=lambda one: one[1], reverse=True))


def prune(folder: Path, keep: int) -> int:
    """Remove all but the newest; how many. What has another name, or no manifest, is somebody else's."""
    old = list(backups(folder))[keep:]
    for path in old:
        remove_folder(path)
    if old:
        log_event("old backups removed", removed=len(old))
    return len(old)


def _clear(folder: Path) -> None:
    if folder.is_dir():
        for path in folder.iterdir():
            if _LEFT.fullmatch(path.name):
                remove_unheld(path)
