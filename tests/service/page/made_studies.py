"""Rows of studies that nobody has: of many for lists, with names that no patient has."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import numpy as np
from sqlalchemy import insert

from secondread.service.store.database import Database
from secondread.service.store.tables import Study, Table

FAMILIES = (
    "Ahorn",
    "Birke",
    "Buche",
    "Eiche",
    "Erle",
    "Esche",
    "Fichte",
    "Kiefer",
    "Linde",
    "Tanne",
    "Ulme",
    "Übel",
)
GIVEN = ("Ada", "Ben", "Cem", "Dana", "Emil", "Finn", "Greta", "Hanna")
NORMALS = 199
"""Calibration normals of the made bundle: p-values are multiples of one two-hundredth."""


def study_rows(number: int, at: datetime, seed: int = 0) -> Iterator[dict[str, Any]]:
    """So many, received one every minute before `at`: most read, some waiting, not read or set aside."""
    random = np.random.default_rng(seed)
    for n in range(number):
        received = at - timedelta(minutes=n + 1)
        state = "read"
        if n < 6:
            state = ("receiving", "waiting", "waiting", "reading", "read", "read")[n]
        elif random.random() < 0.03:
            state = "not read" if random.random() < 0.7 else "set aside"
        rank = int(random.integers(1, NORMALS + 2))
        read = state == "read"
        family, given = FAMILIES[int(random.integers(len(FAMILIES)))], GIVEN[int(random.integers(len(GIVEN)))]
        reasons = {
            "not read": "no bundle takes MG, view MLO",
            "set aside": "IMG1 could not be decoded; send it again",
        }
        yield {
            "study_uid": f"2.25.{10**9 + n}", "state": state, "revision": 1, "instances": 1 + n % 3,
            "patient_id": f"P{n % 9973:05}", "patient_name": f"{family}^{given}",
            "birth_date": "19500102", "sex": "F",
            "accession": f"A{n:07}", "study_date": received.strftime("%Y%m%d"), "description": "Thorax p.a.",
            "modality": ("DX", "CR", "CT")[n % 3] if state != "not read" else "MG",
            "first_received": received, "last_received": received,
            "bundle": "chest" if read else "",
            "score": float(3 - 5 * rank / (NORMALS + 1) + random.normal(0, 1e-3)) if read else None,
            "p_value": rank / (NORMALS + 1) if read else None,
            "flagged": rank <= 0.05 * (NORMALS + 1) if read else None,
            "read_at": received + timedelta(seconds=20) if read else None, "reason": reasons.get(state, ""),
        }  # fmt: skip


def fill(database: Database, number: int, at: datetime, seed: int = 0) -> None:
    Table.metadata.create_all(database.engine)
    rows = study_rows(number, at, seed)
    while part := [row for _, row in zip(range(20_000), rows, strict=False)]:
        with database.write() as session:
            session.execute(insert(Study), part)
