"""Watching and keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from secondread.settings.base import Settings


class WatchingSettings(Settings):
    """
    false_alarms_per_year  of the drift alarms of one scanner, promised where nothing drifts
    reference              what studies are compared with: `own`, the first ones of their scanner, or
                           `calibration`, the bundle's normals, where nearly all studies are normal
    prevalence             at most such a share of studies is abnormal; then more flags than that and the
                           promise explain are an alarm
    patience_h             work that waits longer is an alarm
    """

    drift: bool = True
    false_alarms_per_year: Annotated[float, Field(gt=0, le=100)] = 0.5
    reference: Literal["own", "calibration"] = "own"
    prevalence: Annotated[float, Field(ge=0, lt=1)] | None = None
    patience_h: Annotated[float, Field(gt=0, le=8760)] = 4.0
    monthly_report: bool = True


class UpkeepSettings(Settings):
    """images_days    pixels of a study are removed so long after it was read, once its results are where they
                   had to go; None = never
    readings_days  the study with its readings, too
    backups        a folder, with a copy of the database each night; the newest `keep` stay
    backup_hour    of the night, in the machine's time
    backup_spool   with the files of instances and readings: hard links where the folder is on the same disk
    """

    images_days: Annotated[float, Field(gt=0, le=36_500)] | None = 30.0
    readings_days: Annotated[float, Field(gt=0, le=36_500)] | None = None
    backups: str = ""
    keep: Annotated[int, Field(ge=1, le=1000)] = 14
    backup_hour: Annotated[int, Field(ge=0, le=23)] = 2
    backup_spool: bool = False
    log_mb: Annotated[float, Field(gt=0, le=10_000)] = 50.0
    logs: Annotated[int, Field(ge=1, le=1000)] = 10

    def beside(self, folder: Path) -> UpkeepSettings:
        """With a relative path from `folder` on."""
        return self.model_copy(update={"backups": self.backups and str(folder / self.backups)})
