"""Results for other systems, written for a person at the command line."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from secondread.terminal.say import say

if TYPE_CHECKING:
    from secondread.readings.readings import Readings
    from secondread.results.folder import Written

MOST_LINES = 20


def write_results(
    readings: Readings | str | Path, output: Path, to: Literal["dicom", "fhir"], *, quiet: bool
) -> Written:
    """Write the results of readings and say what came of it. Raises what `write_dicom_results` raises."""
    from secondread.results.write_dicom import write_dicom_results
    from secondread.results.write_fhir import write_fhir_results
    from secondread.terminal.counting import counting
    from secondread.wording.lists import first_lines
    from secondread.wording.numbers import count

    write = write_dicom_results if to == "dicom" else write_fhir_results
    with counting(f"writing {to.upper()}", shown=not quiet) as show:
        written = write(readings, output, command=sys.argv, progress=show)
    if not quiet:
        lines = [why if path in why else f"{path}: {why}" for path, why in written.failed]
        for line in first_lines("without a result, or lacking one", lines, MOST_LINES, f"in {written.table}"):
            say(line)
        earlier = f" ({written.earlier} of them before)" if written.earlier else ""
        total = count(written.studies + written.earlier, "study", "studies")
        say(f"{total} as {to.upper()}{earlier}. Research use, not a medical device.")
    return written
