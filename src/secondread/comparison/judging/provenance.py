"""How a comparison was made, in rows of a name and a text: what a reader needs to repeat it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from secondread.comparison.judging.results import RunResult
from secondread.comparison.judging.table import Table
from secondread.comparison.running.methods import Method
from secondread.version import __version__
from secondread.wording.commands import shown_command
from secondread.wording.durations import in_words


def how_made(table: Table, command: Sequence[str] = ()) -> tuple[tuple[str, str], ...]:
    """`command` is what the person typed; left out where nobody did."""
    results, plan = table.results, table.results.plan
    abnormal = int(results.images.abnormal.sum())
    patients = results.images.known_patients
    rows = [
        ("Command", shown_command(command)),
        ("Manifest", Path(plan.manifest.source).name),
        ("Manifest digest", plan.manifest.digest),
        ("Filter", " and ".join(plan.where)),
        (
            "Test images",
            f"{len(results.images.abnormal) - abnormal:,} normal and {abnormal:,} abnormal, the same for all "
            f"methods; {f'{patients:,} patients' if patients else 'patients unknown'}",
        ),
        ("Methods", ", ".join(_method(plan.method(row.name)) for row in table.rows)),
        ("Seeds", ", ".join(map(str, plan.seeds))),
        ("Reference, named beforehand", plan.reference),
        ("Contamination", ", ".join(f"{share:g}" for share in plan.contamination)),
        (
            "Resampling",
            f"{table.bootstrap:,} times, patients{' and seeds' if table.many_seeds else ''} together, "
            f"seed {table.seed}; 95 % intervals",
        ),
        ("Correction", "Holm, over each family of tests"),
        ("Runs", f"{len(results.runs)} finished, {len(results.missing)} not"),
        ("Time of all runs", _time(table)),
        ("Versions of the fits", _versions(table)),
        ("Written by", f"secondread {__version__}"),
    ]
    return tuple((name, text) for name, text in rows if text)


def _method(method: Method) -> str:
    return method.name if method.name == method.source else f"{method.name} = {method.source}"


def _time(table: Table) -> str:
    runs = table.results.runs
    training = sum(run.cost.train_seconds for run in runs)
    scoring = sum(run.cost.score_seconds * _scored(run) for run in runs)
    return f"training {in_words(training)}, scoring {in_words(scoring)}"


def _scored(run: RunResult) -> int:
    return int(run.metrics["n"]["normal"] + run.metrics["n"]["abnormal"])


def _versions(table: Table) -> str:
    """Each package once, with every version that some fit had."""
    found: dict[str, dict[str, None]] = {}
    for run in table.results.runs:
        for package, version in run.versions.items():
            found.setdefault(package, {})[version] = None
    return ", ".join(f"{package} {' and '.join(versions)}" for package, versions in found.items())
