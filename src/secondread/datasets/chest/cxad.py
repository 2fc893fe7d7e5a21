"""CXAD, the chest X-rays of the DDAD authors' own hospital, which are not public: their layout alone.

Layout read from caiyu6666/DDAD: README.md and cfgs/CXAD_AEU.yaml, and caiyu6666/DDAD-ASR: data/README.md.
"""

from __future__ import annotations

from collections.abc import Iterable

from secondread.cohorts.row import Row
from secondread.datasets.dataset import Dataset
from secondread.datasets.layouts.repartition import PREPARED, rows_of_images


class Cxad(Dataset):
    title = "CXAD layout: images and a list"
    licence = "in-house data of its authors, not public; this is the layout for your own"
    source = "https://github.com/caiyu6666/DDAD"
    paper = "Cai et al.: Dual-distribution discrepancy for anomaly detection in chest X-rays, MICCAI 2022"
    layout = "images (or train_png_512) and data.json with the lists train.0, train.unlabeled and test"
    split = "that of data.json; the authors': 2,000 normal, a pool of 2,000, 499 normal and 501 abnormal"
    read_from = ("caiyu6666/DDAD: README.md", "caiyu6666/DDAD-ASR: data/README.md")
    forms = (PREPARED,)
    hint = "cxad"

    def rows(self) -> Iterable[Row]:
        return rows_of_images(self.folder)
