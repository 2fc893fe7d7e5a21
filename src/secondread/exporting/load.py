"""A fitted model by its place, whatever it is: a bundle, which torch computes, or an exported one."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from secondread.bundles.fitted_model import FittedModel
from secondread.bundles.read_document import expect_bundle
from secondread.errors import UserError
from secondread.exporting.export_document import is_exported
from secondread.exporting.exported import Exported


def load_model(path: str | Path, device: str = "cpu", *, allow: Sequence[str] = ()) -> FittedModel:
    """The bundle or exported bundle at `path`; torch is imported for a bundle alone.

    device  cpu, cuda, cuda:1 or auto; an exported bundle is computed on the CPU
    allow   see `Bundle.load`

    Raises UserError and DataError as `Bundle.load` and `Exported.load` do, and UserError where a bundle needs
    torch and there is none, or an exported bundle is to be computed elsewhere.
    """
    if not isinstance(path, str | os.PathLike):
        raise UserError(f"{type(path).__name__}: is no bundle; give one, or its folder")
    path = Path(path)
    if is_exported(path):
        if device not in ("auto", "cpu"):
            raise UserError(f"{path}: an exported bundle is computed on the CPU; leave out --device {device}")
        return Exported.load(path)
    expect_bundle(path)
    try:
        from secondread.bundles.bundle import Bundle
        from secondread.scoring.device import choose_device
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise UserError(
            f"{path}: a bundle is computed by torch, which is not installed here; give what `secondread "
            "export` made of it, or install torch"
        ) from None
    return Bundle.load(path, device=str(choose_device(device)), allow=allow)
