"""Retinal OCT with oedema in BMAD: RESC."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadResc(Bmad):
    title = "Retinal OCT with oedema in BMAD: RESC"
    licence = "research use"
    layout = "train/good/img, valid and test with good/img, Ungood/img and Ungood/label"
    split = "BMAD's: 4,297 normal B-scans, 115 for validation, 1,805 for test"
    hint = "resc"
    finding = "retinal oedema"
    masks = True
