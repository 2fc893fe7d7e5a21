"""Scores detectors in a process of its own, whose environment stands for another processor.

python score_in_process.py MADE SCORES: MADE holds (detector, source) by name, SCORES gets their raw scores.
"""

import pickle
import sys
from pathlib import Path

import torch

from secondread.calibration.raw_scores import concatenate
from secondread.scoring.scorer import Scorer

made = torch.load(sys.argv[1], weights_only=False)
found = {
    name: concatenate(list(Scorer(detector, precision="float32").set(source, maps=False)))
    for name, (detector, source) in made.items()
}
Path(sys.argv[2]).write_bytes(pickle.dumps(found))
