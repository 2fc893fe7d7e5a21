"""Small images with structure, and a bare loop that runs a detector's stages."""

import torch

from secondread.detectors.contract import Batch, ScoringNoise


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


def fit(detector, images, steps=None, batch_size=8, lr=2e-3, seed=0, **others):
    """Each stage: prepare, then Adam steps or collecting, then finish. Returns the losses by stage.

    `others` are images of cohorts besides "normal"; a cohort that is not given has the normals' images.
    """
    generator = torch.Generator().manual_seed(seed)
    history = {}
    detector.train()
    for stage in detector.stages():

        def batches(stage=stage):
            parts = {name: others.get(name, images).split(batch_size) for name in stage.on}
            for number in range(max(map(len, parts.values()))):
                some = {name: chunks[number] for name, chunks in parts.items() if number < len(chunks)}
                features = {name: stage.frozen(part) if stage.frozen else None for name, part in some.items()}
                yield {name: Batch(part, features=features[name]) for name, part in some.items()}

        if stage.prepare:
            stage.prepare(batches(), generator)
        losses = []
        if stage.steps:
            step = stage.steps[0]
            parameters = [p for module in step.trains for p in module.parameters()]
            optimiser = torch.optim.Adam(parameters, lr=lr)
            while len(losses) < steps:
                for batch in batches():
                    loss = sum(step.loss(batch, generator).values())
                    optimiser.zero_grad()
                    loss.backward()
                    optimiser.step()
                    losses.append(float(loss.detach()))
        if stage.collect:
            with torch.no_grad():
                for batch in batches():
                    stage.collect(batch)
        if stage.finish:
            stage.finish()
        history[stage.name] = losses
    detector.eval()
    return history


@torch.no_grad()
def score(detector, images, valid=None):
    generators = [torch.Generator().manual_seed(i) for i in range(len(images))]
    return detector.score(Batch(images, valid), ScoringNoise(generators))
