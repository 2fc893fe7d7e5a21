"""A copy of a bundle with what its owner says of it, or with less in it, to be handed over.

Its scores, p-values and flags are those of the bundle that it was made from, whose digest it names. Nothing
is built and no code of the bundle is imported."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from secondread.bundles.archive import DOCUMENT
from secondread.bundles.bundle_document import (
    COMPANIONS,
    FILES,
    FORMAT,
    NEEDS,
    SEEN,
    BundleDocument,
    Figure,
    Figures,
    Statements,
)
from secondread.bundles.declared import DeclaredFile, DeclaredTensor, TensorFile
from secondread.bundles.facts import Facts
from secondread.bundles.read_document import first_problem, read_seen
from secondread.bundles.seen import Seen
from secondread.errors import DataError, UserError
from secondread.outputs.whole import write_whole
from secondread.strict.json_text import read_object
from secondread.strict.tensor_file import read_header
from secondread.version import __version__

THUMBNAILS = "pixel-1nn"
"""The baseline that is made of thumbnails of normals."""
LeftOut = Sequence[Literal["thumbnails", "seen"]]


@contextmanager
def handed_over(
    bundle: Path,
    *,
    licence: str = "",
    data: str = "",
    metrics: Mapping[str, Any] | None = None,
    without: LeftOut = (),
) -> Iterator[tuple[Path, Facts]]:
    """A folder for the block with the bundle of the folder `bundle` as it is handed over, and what is to know
    of it.

    licence  of the bundle, as its owner says it (such as cc-by-nc-4.0); empty = as it says already
    data     what it learned from, in a sentence; likewise
    metrics  `metrics.json` of an evaluation of this very bundle, or of one that it is a copy of
    without  what is left out; see `bundle_document.LEFT_OUT`

    With none of these the files are its own, bit for bit. Raises UserError where the metrics are another
    bundle's, and where nothing would be gained by leaving out what its own model holds; DataError where a
    file is not what `bundle.json` declares."""
    facts = Facts.read(bundle)
    document, digest = facts.document, facts.digest
    given = {"licence": licence, "data": data}
    try:
        statements = Statements.model_validate(
            {**document.statements.model_dump(), **{name: text for name, text in given.items() if text}}
        )
    except ValidationError as error:
        raise UserError(f"what is said of the bundle is too long ({first_problem(error)})") from None
    figures = document.figures
    if metrics is not None:
        figures = figures_of(metrics, {digest, *document.made_from}, digest)
    new = [what for what in without if what not in document.left_out]
    with tempfile.TemporaryDirectory(prefix="secondread-") as place:
        folder = Path(place)
        try:
            shutil.copyfile(bundle / DOCUMENT, folder / DOCUMENT)
            for name in FILES:
                (folder / name).symlink_to((bundle / name).absolute())
            if new or statements != document.statements or figures != document.figures:
                changed = document.model_copy(
                    update={
                        "format": FORMAT,
                        "written_by": __version__,
                        "needs": NEEDS,
                        "statements": statements,
                        "figures": figures,
                        "made_from": (*document.made_from, digest),
                    }
                )
                if "thumbnails" in new:
                    changed = _without_thumbnails(bundle, folder, changed)
                if "seen" in new:
                    changed = _without_seen(bundle, folder, changed)
                    facts = replace(facts, images=0, patients=0)
                text = changed.text()
                _put(folder / DOCUMENT, text)
                facts = replace(facts, document=changed, digest=hashlib.sha256(text).hexdigest())
            yield folder, facts
        except (UserError, DataError) as error:
            raise type(error)(str(error).replace(str(folder), str(bundle))) from None


def figures_of(metrics: Mapping[str, Any], digests: set[str], own: str) -> Figures:
    """The figures of `metrics.json` of a report. Raises UserError where it is none, or of another bundle."""
    protocol = metrics.get("protocol")
    judged = protocol.get("bundle_digest") if isinstance(protocol, Mapping) else None
    if judged not in digests:
        raise UserError(
            f"the metrics are of another bundle ({str(judged)[:12]}, and this one is {own[:12]}); give "
            "the report of this bundle's readings"
        )
    names = ("auroc", "average_precision", "sensitivity", "false_alarm_rate")
    try:
        return Figures(
            normal=metrics["n"]["normal"],
            abnormal=metrics["n"]["abnormal"],
            **{
                name: Figure(value=metrics.get(name), interval=metrics.get(f"{name}_interval"))
                for name in names
            },
        )
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(
            f"the metrics are not what `secondread evaluate` wrote ({type(error).__name__})"
        ) from None


def read_metrics(path: Path) -> Mapping[str, Any]:
    """`metrics.json` of a report. UserError where it is none."""
    file = path / "metrics.json" if path.is_dir() else path
    found = read_object(file, UserError, "give metrics.json that `secondread evaluate` wrote")
    if not {"auroc", "n", "protocol"} <= found.keys():
        raise UserError(f"{file}: is no metrics.json that `secondread evaluate` wrote")
    return found


def _without_thumbnails(bundle: Path, folder: Path, document: BundleDocument) -> BundleDocument:
    own = [kept for kept in document.keeps if kept.kind == "thumbnails" and kept.file != COMPANIONS]
    if own:
        raise UserError(
            f"{bundle}: its own model is made of thumbnails of {own[0].rows:,} normals, and does not work "
            "without "
            "them; hand it over with them, or fit another detector"
        )
    from safetensors.numpy import save

    arrays = TensorFile.open(bundle / COMPANIONS, document.files[COMPANIONS]).arrays()
    data = save({name: value for name, value in arrays.items() if not name.startswith(f"{THUMBNAILS}/")})
    _put(folder / COMPANIONS, data)
    with (folder / COMPANIONS).open("rb") as file:
        forms = read_header(file)
    declared = DeclaredFile(
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        tensors={name: DeclaredTensor(dtype=form.dtype, shape=form.shape) for name, form in forms.items()},
    )
    return document.model_copy(
        update={
            "companions": {name: said for name, said in document.companions.items() if name != THUMBNAILS},
            "keeps": tuple(kept for kept in document.keeps if not kept.tensor.startswith(f"{THUMBNAILS}/")),
            "left_out": (*document.left_out, "thumbnails"),
            "files": {**document.files, COMPANIONS: declared},
        }
    )


def _without_seen(bundle: Path, folder: Path, document: BundleDocument) -> BundleDocument:
    data = Seen(key=read_seen(bundle, document).key).model_dump_json().encode()
    _put(folder / SEEN, data)
    declared = DeclaredFile(bytes=len(data), sha256=hashlib.sha256(data).hexdigest())
    return document.model_copy(
        update={
            "left_out": (*document.left_out, "seen"),
            "files": {**document.files, SEEN: declared},
        }
    )


def _put(file: Path, data: bytes) -> None:
    file.unlink()  # a link, or of another bundle
    write_whole(file, data)
