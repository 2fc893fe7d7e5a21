"""What a method must declare: the cohorts it needs, the stages that train it, the scores it gives.

A detector owns no file, no device, no loop and no hidden randomness. The loop (`secondread.training`)
runs any detector's stages; calibration turns its raw parts into decisions. A method imports its names from
here.
"""

from secondread.detectors.contract.batch import Batch, Batches
from secondread.detectors.contract.detector import Detector, Tiny
from secondread.detectors.contract.generative import Generative
from secondread.detectors.contract.scores import Mixture, Part, Scores, ScoringNoise
from secondread.detectors.contract.stage import AUXILIARY, LEARNT_FROM, Draw, Loss, Stage, Step

__all__ = [
    "AUXILIARY",
    "LEARNT_FROM",
    "Batch",
    "Batches",
    "Detector",
    "Draw",
    "Generative",
    "Loss",
    "Mixture",
    "Part",
    "Scores",
    "ScoringNoise",
    "Stage",
    "Step",
    "Tiny",
]
