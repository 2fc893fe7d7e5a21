"""BraTS2021 in BMAD: FLAIR slices of gliomas."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadBrain(Bmad):
    title = "BraTS2021 in BMAD: FLAIR slices of gliomas"
    licence = "BraTS 2021: registration; research use"
    layout = "train/good/img, valid and test with good/img, Ungood/img and Ungood/label"
    split = "BMAD's: 7,500 normal slices, 83 for validation, 3,715 for test"
    hint = "brain"
    finding = "glioma"
    patient = r"^(\d+)_\d+$"
    masks = True
