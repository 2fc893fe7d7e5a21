"""How often what was sent was refused."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "refusal",
        sa.Column("what", sa.String(40), primary_key=True),
        sa.Column("status", sa.String(8), primary_key=True),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.DateTime(timezone=True), nullable=False),
    )
