"""`secondread worklist`: ranked studies under the numbers of the archive."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secondread.cli.failures import one_line
from secondread.cli.options import Force, Quiet
from secondread.cli.table_output import TableOutput
from secondread.terminal.say import say
from secondread.wording.numbers import count


@one_line("run the same command again")
def worklist(
    readings: Annotated[
        Path, typer.Argument(metavar="READINGS", help="Folder of readings that `score` wrote.")
    ],
    key_map: Annotated[
        Path,
        typer.Option("--key-map", metavar="FILE", help="Key map that `score` or `index` wrote with them."),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Worklist to write (CSV), private.")
    ],
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """List ranked studies by accession number and UID.

    It joins studies.csv with a key map: rank, accession number, Study and Series Instance UID, score,
    p-value, flag. Keep it as you keep the ids.
    """
    from secondread.outputs.whole import whole_output
    from secondread.readings.worklist import COLUMNS
    from secondread.readings.worklist import worklist as list_studies

    folder = readings.parent if readings.suffix == ".csv" else readings
    place = TableOutput("worklist", output, COLUMNS, "worklist", key_map, force=force)
    found = list_studies(folder, key_map)
    with whole_output(output) as file:
        file.writelines(line.encode() for line in found.lines)
    place.written(studies=found.studies, notes=list(found.notes))
    if not quiet:
        for note in found.notes:
            say(f"note: {note}")
        say(count(found.studies, "study", "studies"))
    typer.echo(output)
