"""Scores what other processes fitted, from files that hold no code: python score_saved.py FOLDER

FOLDER holds images.npy and a folder for each detector, with settings.json, model.safetensors and file.json,
which declares it; each of these gets scores.npz.
"""

import json
import sys
from pathlib import Path

import numpy as np

from secondread.bundles.declared import DeclaredFile, TensorFile
from secondread.bundles.fitted import plan_fitted
from secondread.bundles.tensors import read_tensors
from secondread.detectors.classics.classic import Classic, ClassicSettings
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer

folder = Path(sys.argv[1])
images = np.load(folder / "images.npy")
for own in sorted(path for path in folder.iterdir() if path.is_dir()):
    settings = ClassicSettings.model_validate(json.loads((own / "settings.json").read_text()))
    declared = DeclaredFile.model_validate(json.loads((own / "file.json").read_text()))
    file = TensorFile.open(own / "model.safetensors", declared)

    def make(settings: ClassicSettings = settings) -> Classic:
        return Classic(settings, images.shape[1], images.shape[2:], pretrained=False)

    plan_fitted(make, file.forms)
    detector = make().load_fitted(read_tensors(file))
    (raw,) = Scorer(detector, precision="float32").set(ArraySource(images))
    maps = {f"map {name}": values for name, values in (raw.maps or {}).items()}
    np.savez(own / "scores.npz", **raw.parts, **maps)
