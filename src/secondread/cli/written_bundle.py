"""A bundle exported as graphs, for a person at the command line."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from secondread.cli.manifests import read_manifest
from secondread.terminal.say import say


def is_bundle(path: Path) -> bool:
    """Whether what is to be exported is a bundle, or an archive of one."""
    return (path / "bundle.json").is_file() or (path.is_file() and path.suffix in (".zip", ".tar"))


def write_bundle(
    place: Path,
    output: Path,
    *,
    check: Path | None,
    workers: int | None,
    allow: Sequence[str],
    force: bool,
    quiet: bool,
) -> bool:
    """Write the bundle as graphs, and say what came of it; whether all images of `check` could be read.

    Raises what `exporting.export` and `exporting.whole_path.compare_on` raise.
    """
    from secondread.bundles.bundle import Bundle
    from secondread.exporting.export import already, export, size_of
    from secondread.exporting.whole_path import compare_on, normals_of
    from secondread.outputs.folders import beside
    from secondread.outputs.run_record import RunRecord

    record = RunRecord("export", sys.argv)
    rows = None if check is None else read_manifest(check, quiet=quiet)
    if rows is not None:
        normals_of(rows)  # before anything is written
    loaded = Bundle.load(place, allow=allow)
    there = not force and already(output, loaded)
    exported = export(loaded, output, force=force)
    if there:
        say(f"{output}: this bundle is there already; --force writes it anew", shown=not quiet)
    else:
        record.write(beside(output), digests={"bundle": loaded.digest, "export": exported.digest})
        if not quiet:
            for remark in exported.graph.form.remarks:
                say(f"note: {remark}")
            say(f"{size_of(output)}; `score` takes it in place of the bundle, without torch")
    if rows is None:
        return True
    found = compare_on(loaded, exported, rows, workers=workers)
    for line in found.lines():
        say(line)
    return not found.unread
