"""Indexes of the worklist's orders and filters. SQLite finds the beginning of a text by them; PostgreSQL
would need indexes of another kind for it, and reads the rows of the time that is asked for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

LOWERED = {"name": "patient_name", "patient": "patient_id", "accession": "accession"}


def upgrade() -> None:
    rank: list[str | sa.TextClause] = [
        sa.text("coalesce(p_value, 2.0)"),
        sa.text("(-coalesce(score, -1e300))"),
        "id",
    ]
    op.create_index("study_rank", "study", rank)
    op.create_index("study_received", "study", ["last_received", "id"])
    op.create_index("study_date", "study", ["study_date", "id"])
    for name, column in LOWERED.items():
        op.create_index(f"study_{name}", "study", [sa.text(f"lower({column})"), "id"])
    op.create_index("study_modality", "study", ["modality"])
    flagged = {"sqlite_where": sa.text("flagged IS 1"), "postgresql_where": sa.text("flagged IS true")}
    op.create_index("study_flagged", "study", ["last_received"], **flagged)  # type: ignore[arg-type]
