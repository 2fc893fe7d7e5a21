"""The keeper with the duties of this room beside its own."""

from __future__ import annotations

from secondread.service.settings.service import ServiceSettings
from secondread.service.spool.files import Spool
from secondread.service.store.away import Stop
from secondread.service.store.database import Database
from secondread.service.upkeep.nightly import Nightly
from secondread.service.upkeep.retention import Retention
from secondread.service.watching import keeper
from secondread.service.watching.keeper import Duty

OLD_S, NIGHT_S = 60.0, 300.0


def run_keeper(settings: ServiceSettings, stop: Stop) -> None:
    """Look after the service until `stop` is set."""
    database = Database(settings.database_url)
    try:
        keeper.run_keeper(settings, stop, more=duties(database, settings))
    finally:
        database.close()


def duties(database: Database, settings: ServiceSettings) -> list[Duty]:
    """Those that the configuration asks for."""
    found = []
    if settings.upkeep.images_days is not None or settings.upkeep.readings_days is not None:
        old = Retention(database, Spool(settings.spool), settings.upkeep)
        found.append(Duty("remove what is old", OLD_S, old.go_on))
    if settings.upkeep.backups:
        found.append(Duty("make the nightly backup", NIGHT_S, Nightly(settings).look))
    return found
