"""Chest X-rays in BMAD: RSNA."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadChest(Bmad):
    title = "Chest X-rays in BMAD: RSNA"
    licence = "RSNA challenge terms: research and education"
    layout = "train/good, valid and test with good and Ungood; no masks"
    split = "BMAD's: 8,000 normal films, 1,490 for validation, 17,194 for test"
    hint = "chest"
    finding = "lung opacity or another abnormality"
