"""`secondread threshold`: what other false-alarm rates would mean, and bundles and readings with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secondread.cli.failures import one_line
from secondread.cli.options import BundleFolder, Force, Quiet
from secondread.cli.promise_lines import say_promise
from secondread.errors import UserError
from secondread.terminal.say import say
from secondread.wording.numbers import NOTHING, count, rate, significant

if TYPE_CHECKING:
    from secondread.bundles.operating_point import OperatingPoint
    from secondread.readings.rejudged import Flags, Rejudged


@one_line("run the same command again")
def threshold(
    bundle: BundleFolder,
    readings: Annotated[
        Path | None,
        typer.Argument(metavar="READINGS", help="Folder of readings by this model, to be judged again."),
    ] = None,
    false_alarm_rate: Annotated[
        list[float] | None,
        typer.Option(
            "--false-alarm-rate",
            metavar="SHARE",
            help="Share of normals that may be flagged.",
            show_default="the bundle's own",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            metavar="FOLDER",
            help="New bundle, or with READINGS a folder for the readings.",
            show_default="only a table is printed",
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Choose another threshold, without reading an image.

    It comes from the calibration scores in the bundle. With READINGS, their scores, p-values and flags become
    those of this bundle; -o READINGS --force changes them in place.
    """
    from secondread.bundles.archive import folder_of
    from secondread.bundles.operating_point import OperatingPoint

    with folder_of(bundle) as folder:
        point = OperatingPoint.read(folder)
        rates = false_alarm_rate or [point.calibration.settings.false_alarm_rate]
        points = [point.at(asked) for asked in dict.fromkeys(rates)]
        if output is not None and len(points) > 1:
            raise UserError("-o writes one threshold; give --false-alarm-rate once, or leave -o out")
        if readings is not None:
            _judge(points, readings, output, force=force, quiet=quiet)
        elif output is None:
            _print_table(points)
        else:
            if force:
                raise UserError(f"{output}: a bundle is never changed; leave --force out and choose a new -o")
            _save(points[0], output, quiet=quiet)


def _save(point: OperatingPoint, output: Path, *, quiet: bool) -> None:
    from secondread.calibration.description import describe

    digest = point.save(output)
    if not quiet:
        say_promise(describe(point.calibration))
        if (pixels := _of_maps(point)) is not None:
            say(f"note: {pixels}")
        say(f"the same model at another threshold; digest {digest}")
    typer.echo(output)


def _judge(
    points: Sequence[OperatingPoint], readings: Path, output: Path | None, *, force: bool, quiet: bool
) -> None:
    from secondread.calibration.description import describe
    from secondread.outputs.lock import only_one
    from secondread.readings.rejudged import Rejudged

    folder = readings.parent if readings.name == "readings.csv" else readings
    if not (folder / "readings.csv").is_file():
        raise UserError(f"{readings}: no readings here; give the folder that `secondread score -o` wrote")
    if output is None:
        _print_table(points, [Rejudged.of(folder, point) for point in points])
        return
    with only_one(folder):
        found = Rejudged.of(folder, points[0])
        written = _write(found, output, force=force)
    if not quiet:
        if not written:
            say("note: they were judged so already, and stay as they are")
        if found.scores_changed:
            say(f"note: {count(found.scores_changed, 'image')} got another score: parts are mixed otherwise")
        if written and found.results:
            say(
                f"note: {', '.join(found.results)} in {folder} was made of the readings as they were; "
                "`secondread export` makes it anew"
            )
        say(f"images: {_change(found.image_flags)}")
        if found.studies.rows:
            say(f"studies: {_change(found.study_flags)}")
        say_promise(describe(points[0].calibration))
    typer.echo(output / "readings.csv")


def _write(found: Rejudged, output: Path, *, force: bool) -> bool:
    """Write the readings, with their page of sequences; whether there was anything to do."""
    from secondread.outputs.folders import output_folder, refuse_other_folder
    from secondread.outputs.whole import remove_folder, whole_folder

    refuse_other_folder(output, "score")
    if output.exists() and output.samefile(found.folder):
        if found.is_at(output):
            return False
        if not force:
            raise UserError(f"{output}: its readings would be judged again in place; say so with --force")
        found.write_in_place()
        _draw_sequences(output)
        return True
    if (output / "readings.csv").is_file():
        if found.is_at(output):
            return False
        if not force:
            raise UserError(f"{output}: there are readings already; replace them with --force")
    with whole_folder(output) as folder:
        found.write_into(folder)
        _draw_sequences(folder)
        if output.exists():
            with output_folder(output, "score"):
                remove_folder(output)
    return True


def _draw_sequences(folder: Path) -> None:
    if (folder / "sequences.html").is_file():
        from secondread.readings.readings import Readings
        from secondread.reports.sequences import write_sequences

        write_sequences(Readings.read(folder))


def _change(flags: Flags) -> str:
    before, after = ("none judged" if n is None else f"{n:,} flagged" for n in (flags.before, flags.after))
    return f"{after}, and {before} before; {count(flags.changed, 'flag')} changed"


def _print_table(points: Sequence[OperatingPoint], judged: Sequence[Rejudged] = ()) -> None:
    """One line for each level and rate."""
    from secondread.calibration.description import describe

    facts = [describe(point.calibration) for point in points]
    flags = [(found.image_flags, found.study_flags if found.studies.rows else None) for found in judged]
    lines = [["", "rate", "threshold", "95 % range", *(["flagged"] if judged else []), ""]]
    for level, place in (("images", 0), ("studies", 1)):
        for at, told in enumerate(facts):
            if (found := told[level]) is not None:
                cells = _cells(found, told["false_alarm_rate"])
                if judged:
                    cells.insert(3, _flagged(flags[at][place]))
                lines.append([level, *cells])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        typer.echo("  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip())
    for level in ("images", "studies"):
        if (found := facts[0][level]) is not None:
            typer.echo(f"{level}: {_normals(found)}")
    promises = {found["words"] for told in facts for level in _LEVELS if (found := told[level]) is not None}
    typer.echo("Rates are of new normals that resemble these, on average over calibration sets.")
    for line in facts[0]["words"]:
        if line not in promises:
            typer.echo(line)
    if (pixels := _of_maps(points[0])) is not None:
        typer.echo(pixels)


_LEVELS = ("images", "studies")


def _cells(level: Mapping[str, Any], asked: float) -> list[str]:
    span = level["false_alarm_rate_range"]
    if span is None:
        needed = count(level["patients_needed"], "patient")
        return [rate(asked), NOTHING, NOTHING, f"too few normals: {needed} needed, none is flagged"]
    return [rate(asked), significant(level["threshold"]), f"{rate(span[0])} to {rate(span[1])}", ""]


def _normals(level: Mapping[str, Any]) -> str:
    """How many normals calibrate it, and what rate they can carry."""
    patients = level["patients"]
    if not patients:
        return "no normal has calibrated them"
    return (
        f"{count(level['scores'], 'normal')} of {count(patients, 'patient')} calibrate them, and carry a "
        f"rate of {rate(1 / (patients + 1))} or more"
    )


def _flagged(flags: Flags | None) -> str:
    return NOTHING if flags is None or flags.after is None else f"{flags.after:,}"


def _of_maps(point: OperatingPoint) -> str | None:
    calibration = point.calibration
    if calibration.map_threshold is None:
        return None
    return (
        f"The threshold of maps, {significant(calibration.map_threshold)} "
        f"({rate(calibration.settings.pixel_false_alarm_rate)} of normals' pixels), stays: a bundle keeps no "
        "pixels of calibration maps."
    )
