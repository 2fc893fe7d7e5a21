"""Liver CT in BMAD: BTCV and LiTS."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadLiver(Bmad):
    title = "Liver CT in BMAD: BTCV and LiTS"
    licence = "BTCV: registration at Synapse; LiTS: terms of its challenge"
    layout = "train/good/img, valid and test with good/img, Ungood/img and Ungood/label"
    split = "BMAD's: 1,542 normal slices (BTCV), 166 for validation, 1,493 for test (LiTS)"
    hint = "liver"
    finding = "liver tumour"
    masks = True
