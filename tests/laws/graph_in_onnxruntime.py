"""A graph that was exported, asked as a scorer is."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime

from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.exporting.draws import drawn
from secondread.exporting.graph import GraphFacts


class GraphInOnnxruntime:
    """One image at a time, in one thread."""

    def __init__(self, folder: Path, facts: GraphFacts) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        self.facts = facts
        self.session = onnxruntime.InferenceSession(folder / facts.files[0], options)
        self.names = [output.name for output in self.session.get_outputs()]

    def batch(self, images: np.ndarray, valid: np.ndarray | None, digests: Sequence[str]) -> RawScores:
        whole = np.ones((len(images), 1, *images.shape[2:]), bool) if valid is None else valid
        return concatenate([self._one(*one) for one in zip(images, whole, digests, strict=True)])

    def _one(self, image: np.ndarray, valid: np.ndarray, digest: str) -> RawScores:
        given = {"pixels": image[None], "valid": valid[None]}
        for number, values in enumerate(drawn(self.facts.draws, digest)):
            given[f"draw.{number}"] = values
        found = dict(zip(self.names, self.session.run(None, given), strict=True))
        return RawScores(
            {name: found[f"part.{name}"].astype(np.float64) for name in self.facts.parts},
            self.facts.parts,
            {name: found[f"map.{name}"][:, 0] for name in self.facts.maps} or None,
        )
