"""Format 2 says which version wrote it and which reads it, what it holds of the images, what was left out,
and what its owner says of it. Format 1 had none of that: what it holds is told by its tensors."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from secondread.strict.plain_file import Unfit

FIRST = "0.1.0"
"""The version that wrote format 1, where the document does not say."""
VERSION = r"\d[0-9A-Za-z.+!-]{0,40}"
NEW = ("written_by", "needs", "statements", "figures", "left_out", "keeps", "made_from")
BANKS = frozenset(
    {
        "bank",
        "support",
        "patches",
        "fitted_rows",
        "fitted__fit_X",
        "fitted_X_train",
        "fitted_support_vectors_",
    }
)
"""Tensors of format 1's detectors that hold images of the fit one by one, by the last part of their names."""
DIGESTS = frozenset({"digests", "patients"})
MODEL, PREPROCESSING = "model.safetensors", "preprocessing.safetensors"
CALIBRATION, COMPANIONS = "calibration.safetensors", "companions.safetensors"


def from_1_to_2(document: Mapping[str, Any]) -> dict[str, Any]:
    """See the module."""
    for name in NEW:
        if name in document:
            raise Unfit(f"has {name!r}, which format 1 had not")
    maker = _at(document, "provenance", "versions", "secondread")
    return {
        **document,
        "format": 2,
        "written_by": maker if isinstance(maker, str) and re.fullmatch(VERSION, maker) else FIRST,
        "needs": FIRST,
        "keeps": list(_kept(document)),
    }


def _kept(document: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    detector = ("recipe", "detector")
    pixels = _at(document, *detector, "name") == "pixel-1nn" or _at(document, *detector, "of") == "pixels"
    vectors = "thumbnails" if pixels else "features"
    for file, of in (
        (MODEL, lambda name: vectors if name in BANKS else "digests" if name in DIGESTS else None),
        (PREPROCESSING, lambda name: "mean" if name == "align_mean" else None),
        (CALIBRATION, lambda name: "mean" if name.startswith("normal_map_") else None),
        (COMPANIONS, lambda name: "thumbnails" if name == "bank" else None),
    ):
        for tensor, rows in _tensors(document, file):
            if kind := of(tensor.replace("/", ".").rpartition(".")[2]):
                yield {"file": file, "tensor": tensor, "rows": 1 if kind == "mean" else rows, "kind": kind}


def _tensors(document: Mapping[str, Any], file: str) -> Iterator[tuple[str, int]]:
    """Names of a file's tensors, and the length of their first axis."""
    tensors = _at(document, "files", file, "tensors")
    for name, form in tensors.items() if isinstance(tensors, Mapping) else ():
        shape = form.get("shape") if isinstance(form, Mapping) else None
        first = shape[0] if isinstance(shape, list) and shape else 0
        yield str(name), first if type(first) is int and first >= 0 else 0


def _at(document: Any, *names: str) -> Any:
    """What lies under these names; None where there is nothing."""
    for name in names:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document
