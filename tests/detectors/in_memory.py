"""Small images with structure, and fits and scores of a detector on tensors, in memory."""

import torch

from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.detector_settings import OptimiserSettings, StageSettings
from secondread.scoring.image_source import ArraySource
from secondread.training.loop import train


def blobs(n, size, seed=0, lesion=False, channels=1):
    """Smooth random anatomies in [0, 1], `[n, channels, *size]`, with a bright speck where `lesion`."""
    generator = torch.Generator().manual_seed(seed)
    rank = len(size)
    coarse = torch.rand(n, channels, *[4] * rank, generator=generator)
    mode = {2: "bilinear", 3: "trilinear"}[rank]
    images = torch.nn.functional.interpolate(coarse, size=size, mode=mode)
    images = 0.8 * images + 0.05 * torch.rand(images.shape, generator=generator)
    if lesion:
        images[(slice(None), slice(None), *[slice(length // 2, length // 2 + 5) for length in size])] += 0.6
    return images.clamp(0, 1)


def train_on(detector, cohorts, stages, seed=0):
    """The log of a fit on cohorts of images, `[n, C, *size]` each."""
    sources = {name: ArraySource(images.numpy()) for name, images in cohorts.items()}
    named = {"device": "cpu", "precision": "float32", "progress": False}
    return train(detector, sources, stages, seed=seed, **named)


def fit(detector, images, steps=None, batch_size=8, lr=2e-3, seed=0, **others):
    """The same with one setting for all stages. Returns each stage's losses by epoch.

    `others` are images of cohorts besides "normal"; a cohort that is not given has the normals' images.
    """
    stages = list(detector.stages())
    cohorts = {name: others.get(name, images) for stage in stages for name in stage.on}
    settings = StageSettings(steps=steps, batch_size=batch_size, optimiser=OptimiserSettings(lr=lr))
    log = train_on(detector, cohorts, {stage.section: settings for stage in stages}, seed)
    return {stage.name: [sum(epoch.losses.values()) for epoch in stage.epochs] for stage in log.stages}


@torch.no_grad()
def score(detector, images, valid=None):
    generators = [torch.Generator().manual_seed(i) for i in range(len(images))]
    return detector.score(Batch(images, valid), ScoringNoise(generators), maps=True)
