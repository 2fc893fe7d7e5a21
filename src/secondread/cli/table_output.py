"""A table that a command writes: its place is judged before any work, and its record says what lies there."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from secondread.cli.asked import asked
from secondread.outputs.folders import beside, digest_of_table, table_place
from secondread.outputs.run_record import RunRecord


class TableOutput:
    """Where a command writes its table, `-o`, and the record beside it.

    made_by, columns, what   the command, the columns by which its tables are told, and what they are called
    inputs                   files that the command reads

    A table that is there is replaced with `force`, or where this very command wrote it and nobody has changed
    it since. Raises UserError in all other cases, and where nothing can be written there.
    """

    def __init__(
        self,
        made_by: str,
        output: Path,
        columns: Collection[str],
        what: str,
        *inputs: str | Path | None,
        force: bool,
    ) -> None:
        self.path = output
        self.asked = asked()
        self.record = RunRecord(made_by, sys.argv)
        table_place(output, columns, what, *inputs, asked=None if force else self.asked)

    def written(self, **facts: Any) -> None:
        """Say beside the table what it is, once it is written."""
        self.record.write(beside(self.path), asked=self.asked, table=digest_of_table(self.path), **facts)
