"""Small Glows whose every parameter has moved away from its start."""

import torch

from secondread.flows.glow.glow import Glow
from secondread.flows.glow.scales import Scale

SCHEMES = ("glow", "shibata", "exp", "additive", "spline")
SIZES = {2: (4, 8), 3: (4, 4, 8)}


def make_glow(rank=2, *, scheme="glow", seed=0, amplitude=0.1, size=None, channels=1, **options):
    """In float64, on float64 parameters."""
    generator = torch.Generator().manual_seed(seed)
    options = {"levels": 2, "depth": 2, "width": 8, **options}
    glow = Glow(
        rank, channels, size or SIZES[rank], scale=Scale(scheme, bins=3), generator=generator, **options
    ).double()
    with torch.no_grad():
        for parameter in glow.parameters():
            parameter.add_(amplitude * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return glow


def images(glow, n=3, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, glow.channels, *glow.size, generator=generator, dtype=torch.float64)
