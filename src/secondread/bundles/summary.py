"""What `bundle show` says of a bundle: rows of a name and a text, and the same for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from secondread.bundles.bundle_document import Figures
from secondread.bundles.facts import Facts
from secondread.wording.numbers import count, number, percent, percent_span, span
from secondread.wording.sizes import in_words, times

Rows = list[tuple[str, str]]
NOT_STATED = "not stated"
LEFT_OUT = {
    "thumbnails": "the baseline pixel-1nn with its thumbnails of normals, so readings have no column for it",
    "seen": "digests and hashes of what the fit saw, so it is not noticed when a test holds images or "
    "patients "
    "of the fit",
}


def what_it_is(facts: Facts) -> Rows:
    """Rows on the model: method, images, data, versions. Those without a text are left out."""
    document, fitted = facts.document, facts.document.provenance
    views = f", {facts.files} files an image" if facts.files > 1 else ""
    rows = [
        ("detector", str(facts.detector.get("name") or "")),
        ("paper", str(facts.about.get("paper") or "")),
        ("images", f"prepared to {times(facts.size)}{views}" if facts.size else ""),
        ("learned from", _counts(fitted.cohorts)),
        ("unreadable then", _counts(fitted.unreadable)),
        ("pretrained weights", ", ".join(fitted.weights)),
        ("code from outside", ", ".join(map(str, fitted.code))),
        ("baselines", ", ".join(document.companions) or "none"),
        (
            "fitted",
            f"{fitted.created[:19]} by secondread {fitted.versions.get('secondread', '?')} with torch "
            f"{fitted.versions.get('torch', '?')} on {fitted.device}, seed {fitted.seed}",
        ),
        ("calibrated again", _recalibrated(fitted.recalibrated)),
        ("scores in", _precision(facts)),
        ("needs", _needs(facts)),
        ("size", in_words(facts.bytes) if document.files else ""),
        ("format", f"{document.format}, written by secondread {document.written_by}"),
        ("digest", facts.digest),
        ("a copy of", ", ".join(digest[:12] for digest in document.made_from)),
    ]
    return [(name, text) for name, text in rows if text]


def what_it_holds(facts: Facts) -> list[str]:
    """Sentences on what of patients' images is in it."""
    held = [f"{kept}" for kept in facts.keeps]
    if facts.images or facts.patients:
        held.append(
            f"digests of {count(facts.images, 'image')} and keyed hashes of "
            f"{count(facts.patients, 'patient id')} "
            "(seen.json), by which someone who has the same images or ids can tell that they were in the fit"
        )
    return held


def what_was_left_out(facts: Facts) -> list[str]:
    return [LEFT_OUT[what] for what in facts.document.left_out]


def figure_rows(figures: Figures) -> list[tuple[str, str, str]]:
    """Name, value and 95 % interval of each figure."""
    rows = []
    for title, figure, share in (
        ("AUROC", figures.auroc, False),
        ("average precision", figures.average_precision, False),
        ("sensitivity at the calibrated threshold", figures.sensitivity, True),
        ("false alarms there", figures.false_alarm_rate, True),
    ):
        said, between = (
            (percent(figure.value), percent_span(figure.interval))
            if share
            else (number(figure.value), span(figure.interval))
        )
        rows.append((title, said, between))
    return rows


def summary(facts: Facts) -> Rows:
    """Everything that `bundle show` says."""
    document, figures = facts.document, facts.document.figures
    told = (
        [] if figures is None else [f"{n} {v} ({i})" if i else f"{n} {v}" for n, v, i in figure_rows(figures)]
    )
    return [
        ("title", facts.title),
        *what_it_is(facts),
        ("licence", document.statements.licence or NOT_STATED),
        ("data", document.statements.data or NOT_STATED),
        *_under("figures", told),
        *_under("promise", facts.calibration["words"]),
        *_under("holds", what_it_holds(facts) or ["nothing of single images"]),
        *_under("left out", what_was_left_out(facts)),
        ("use", "research use, not a medical device"),
    ]


def as_json(facts: Facts) -> dict[str, Any]:
    """The same for programs; names are kept from version to version, and further ones may come."""
    document = facts.document
    written = document.model_dump(mode="json")
    return {
        "title": facts.title,
        "digest": facts.digest,
        **{name: written[name] for name in ("format", "written_by", "needs", "made_from")},
        "detector": facts.detector.get("name"),
        "about": dict(facts.about),
        "images": {"size": list(facts.size), "files": facts.files},
        "parts": list(document.parts),
        "baselines": list(document.companions),
        "precision": document.provenance.scored_in,
        "packages": facts.packages,
        "statements": written["statements"],
        "figures": written["figures"],
        "calibration": dict(facts.calibration),
        "holds": {
            "images": [kept.model_dump(mode="json") for kept in facts.keeps],
            "digests_of_images": facts.images,
            "hashes_of_patients": facts.patients,
        },
        "left_out": written["left_out"],
        "bytes": facts.bytes,
        "files": {name: declared.bytes for name, declared in document.files.items()},
        "provenance": written["provenance"],
        "recipe": document.recipe,
        "research_use": "research use, not a medical device",
    }


def _under(name: str, lines: Iterable[str]) -> Rows:
    return [("" if place else name, text) for place, text in enumerate(lines)]


def _counts(numbers: dict[str, int]) -> str:
    return ", ".join(f"{images:,} {cohort}" for cohort, images in numbers.items() if images)


def _recalibrated(runs: tuple[dict[str, str], ...]) -> str:
    if not runs:
        return ""
    last = runs[-1]
    return f"{count(len(runs), 'time')}, last {last.get('time', '?')[:19]} from {last.get('from', '?')[:12]}"


def _precision(facts: Facts) -> str:
    if facts.document.provenance.scored_in == "bf16":
        return "bfloat16, which is slow on processors without it; `calibrate` chooses anew"
    return "float32"


def _needs(facts: Facts) -> str:
    extras = "".join(f", the extra {name}" for name in facts.packages)
    code = facts.document.provenance.code
    outside = "".join(f", the package {name}" for name in sorted({c.distribution or c.place for c in code}))
    return f"secondread {facts.document.needs} or later with PyTorch{extras}{outside}; no GPU"
