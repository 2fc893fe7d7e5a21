from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from watched import BEGIN, PATIENT

from secondread.service.settings.service import ServiceSettings
from secondread.service.store.database import Database
from secondread.service.store.migrate import migrate
from secondread.service.store.tables import Reading, Study

Fill = Callable[..., list[int]]


@pytest.fixture
def settings(tmp_path: Path) -> ServiceSettings:
    (tmp_path / "spool").mkdir()
    return ServiceSettings.model_validate(
        {
            "spool": str(tmp_path / "spool"),
            "bundles": [{"bundle": str(tmp_path / "chest"), "name": "chest"}],
            "receive": {"free_gb": 0},
            "complete": {"quiet_s": 0},
        }
    )


@pytest.fixture
def database(settings: ServiceSettings) -> Database:
    found = Database(settings.database_url)
    migrate(found)
    return found


@pytest.fixture
def fill(database: Database) -> Fill:
    """Studies that were read: `fill(count, mean=…, scanner=…, digest=…)`; their ids. One comes every half
    hour."""
    rng, known = np.random.default_rng(0), [0]

    def put(
        count: int,
        mean: float = 0.0,
        scanner: str = "a1",
        digest: str = "d" * 64,
        shadow: bool = False,
        **more: object,
    ) -> list[int]:
        studies = []
        with database.write() as session:
            for score in rng.normal(mean, 1, count):
                number = known[0]
                known[0] += 1
                at = BEGIN + timedelta(minutes=30 * number)
                study = Study(
                    study_uid=f"2.25.{number}", state="read", patient_id=f"ZF-{number}", patient_name=PATIENT,
                    first_received=at, last_received=at, instances=1, revision=1, flagged=bool(score > 1.6),
                )  # fmt: skip
                session.add(study)
                session.flush()
                studies.append(study.id)
                session.add(_reading(study.id, float(score), scanner, digest, at, shadow, **more))
        return studies

    return put


def _reading(
    study: int, score: float, scanner: str, digest: str, at: datetime, shadow: bool, **more: object
) -> Reading:
    columns = {
        "bundle": "tried" if shadow else "chest",
        "p_value": float(np.clip(0.5 - score / 6, 0.005, 1)),
        "flagged": score > 1.6,
        "threshold": 1.6,
        "false_alarm_rate": 0.05,
        "facts": {
            "level": "image",
            "image_count": 1,
            "acquisition": {"kvp": 80.0 + study % 5, "view": "PA"},
            "features": [study % 7],
            "feature_names": ["image_mean"],
        },
        **more,
    }
    return Reading(
        study_id=study, revision=1, bundle_digest=digest, shadow=shadow, score=score, scanner=scanner,
        at=at + timedelta(minutes=1), seconds=0.4, worst="", **columns,
    )  # fmt: skip
