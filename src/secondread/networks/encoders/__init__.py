"""Encoders: one kind per file, named as its file is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secondread.registry.registry import Registry

if TYPE_CHECKING:
    from secondread.networks.encoder import Encoder

ENCODERS: Registry[Encoder] = Registry(
    kind="encoder",
    kinds="encoders",
    group="secondread.encoders",
    base="secondread.networks.encoder:Encoder",
    packages=lambda: (__name__,),
    instead={
        "timm": "the package timm cannot be imported without torchvision, which secondread does without; "
        "where both are installed, set name to module and module to timm:create_model "
        "(docs/methods/encoders.md)"
    },
)
