"""The model card of a bundle: what it is, what it learned from, what it promises, and what it must not be
used for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from secondread.bundles.bundle_document import BundleDocument
from secondread.bundles.declared import TensorFile
from secondread.bundles.read_document import read_document
from secondread.calibration.calibration import Calibration
from secondread.calibration.description import describe
from secondread.errors import UserError
from secondread.wording.numbers import count, number, percent, percent_span, span
from secondread.wording.sizes import in_words, times

NOT_SAID = "not stated"


def calibration_words(folder: Path, document: BundleDocument) -> list[str]:
    """What the calibration of a bundle promises, in sentences. Raises DataError where it is damaged."""
    name = "calibration.safetensors"
    arrays = TensorFile.open(folder / name, document.files[name]).arrays()
    return list(describe(Calibration.from_state(document.calibration, arrays))["words"])


def summary(folder: Path) -> list[tuple[str, str]]:
    """Rows of a name and a text: what `bundle show` says. No code of the bundle is imported."""
    document, digest = read_document(folder)
    about, recipe, fitted = document.recipe.get("about") or {}, document.recipe, document.provenance
    size = (recipe.get("preprocessing") or {}).get("size") or ()
    rows = [
        ("title", str(about.get("title") or "")),
        ("detector", str((recipe.get("detector") or {}).get("name") or "")),
        ("paper", str(about.get("paper") or "")),
        ("images", times(size) if isinstance(size, list | tuple) else ""),
        (
            "learned from",
            ", ".join(f"{images:,} {cohort}" for cohort, images in fitted.cohorts.items() if images),
        ),
        ("pretrained weights", ", ".join(fitted.weights)),
        ("code from outside", ", ".join(str(code.name) for code in fitted.code)),
        (
            "fitted",
            f"{fitted.created[:19]} by secondread {fitted.versions.get('secondread', '?')}, "
            f"seed {fitted.seed}",
        ),
        ("calibrated again", count(len(fitted.recalibrated), "time") if fitted.recalibrated else ""),
        ("size", in_words(sum(declared.bytes for declared in document.files.values()))),
        ("digest", digest),
    ]
    rows = [(name, text) for name, text in rows if text]
    return rows + [
        ("promise" if not place else "", text)
        for place, text in enumerate(calibration_words(folder, document))
    ]


def read_metrics(path: Path) -> Mapping[str, Any]:
    """`metrics.json` of a report. UserError where it is none."""
    file = path / "metrics.json" if path.is_dir() else path
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{file}: cannot be read as metrics.json of a report ({error})") from None
    if not isinstance(found, dict) or not {"auroc", "n", "protocol"} <= found.keys():
        raise UserError(f"{file}: is no metrics.json that `secondread evaluate` wrote")
    return found


def model_card(
    folder: Path,
    *,
    licence: str = "",
    data: str = "",
    metrics: Mapping[str, Any] | None = None,
) -> str:
    """`README.md`: Markdown with the head that the Hugging Face hub reads.

    licence  of the bundle, as its owner says it (such as cc-by-nc-4.0)
    data     what it learned from, in a sentence
    metrics  `metrics.json` of an evaluation of this very bundle

    Raises UserError where the metrics are another bundle's.
    """
    document, digest = read_document(folder)
    about = document.recipe.get("about") or {}
    title = " ".join(str(about.get("title") or "A secondread bundle").split())
    head = ["---", "library_name: secondread", "tags: [medical-imaging, anomaly-detection]"]
    if licence:
        head.append(f"license: {json.dumps(licence)}")
    rows = [
        f"| {name} | {_escaped(text)} |"
        for name, text in summary(folder)
        if name not in ("title", "promise", "")
    ]
    differences = [f"- {' '.join(str(text).split())}" for text in about.get("differences") or ()]
    blocks = [
        "\n".join([*head, "---"]),
        f"# {title}",
        "**Research use, not a medical device.** It ranks images by how unlike normal ones they look, and "
        "was not tested for any clinical use. A low score does not mean that an image is normal.",
        "## What it is",
        "\n".join(["| | |", "|---|---|", *rows]),
        *(["Differences from the paper:", "\n".join(differences)] if differences else []),
        "## Data",
        data or "What the images were is not stated by whoever made this card.",
        "## What its threshold promises",
        " ".join(calibration_words(folder, document)),
        "## Figures",
        _figures(metrics, digest) if metrics else "No figures of a test were given with this card.",
        "## Use",
        "```sh\nsecondread score BUNDLE IMAGES -o readings\nsecondread calibrate BUNDLE SITE.csv -o "
        "calibrated   # normals of your own site\n```",
        "## Licence and privacy",
        f"Licence: {licence or NOT_SAID}. Licences of the data and of pretrained weights may restrict what "
        "may be done with it. It holds no image, name or id: of what it saw it keeps digests, and of "
        "patients keyed hashes, by which someone who has the same images or ids can tell that they were "
        "among them.",
    ]
    return "\n\n".join(blocks) + "\n"


def _figures(metrics: Mapping[str, Any], digest: str) -> str:
    judged = (metrics.get("protocol") or {}).get("bundle_digest")
    if judged != digest:
        raise UserError(
            f"the metrics are of another bundle ({str(judged)[:12]}, and this one is {digest[:12]}); give "
            "the report of this bundle's readings"
        )
    n = metrics["n"]
    lines = ["| figure | value | 95 % |", "|---|--:|--:|"]
    for name, title, share in (
        ("auroc", "AUROC", False),
        ("average_precision", "average precision", False),
        ("sensitivity", "sensitivity at the calibrated threshold", True),
        ("false_alarm_rate", "false alarms there", True),
    ):
        value, interval = metrics.get(name), metrics.get(f"{name}_interval")
        told, between = (percent(value), percent_span(interval)) if share else (number(value), span(interval))
        lines.append(f"| {title} | {told} | {between} |")
    return "\n".join([f"On {n['normal']:,} normal and {n['abnormal']:,} abnormal test images:", "", *lines])


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
