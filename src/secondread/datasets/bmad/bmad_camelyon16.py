"""Lymph-node patches in BMAD: Camelyon16."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadCamelyon16(Bmad):
    title = "Lymph-node patches in BMAD: Camelyon16"
    licence = "CC0 1.0"
    layout = "train/good, valid and test with good and Ungood; no masks"
    split = "BMAD's: 5,088 normal patches, 236 for validation, 1,997 for test"
    hint = "camelyon|histopathology"
    finding = "metastasis"
