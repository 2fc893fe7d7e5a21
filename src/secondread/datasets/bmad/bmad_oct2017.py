"""Retinal OCT in BMAD: OCT2017."""

from __future__ import annotations

from secondread.datasets.layouts.bmad import Bmad


class BmadOct2017(Bmad):
    title = "Retinal OCT in BMAD: OCT2017"
    licence = "CC BY 4.0"
    layout = "train/good, valid and test with good and Ungood; no masks"
    split = "BMAD's: 26,315 normal B-scans, 32 for validation, 968 for test"
    hint = "oct2017"
    finding = "CNV, DME or drusen"
    patient = r"^(?:NORMAL|CNV|DME|DRUSEN)-(\d+)-\d+$"
