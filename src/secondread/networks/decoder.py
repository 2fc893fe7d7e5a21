"""The decoder of AE-FLOW, for 2-D and 3-D."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from secondread.networks.by_rank import CONVOLUTION, TRANSPOSED_CONVOLUTION, channels_last, resize
from secondread.networks.convolution3.doublings import run_layers
from secondread.networks.convolution3.fused_convolution import convolve

TANH = nn.Tanh()


class Decoder(nn.Module):
    """From a map back to an image in [-1, 1]: `[N, C, *map]` to `[N, channels_out, *size]`.

    One block for each doubling: a transposed convolution 2×2 of stride 2; in every block but the last
    then ReLU, a 3×3 convolution of the same width and ReLU; tanh at the end. The paper's widths are
    1024 -> 512 -> 256 -> 64 -> 3 (Zhao, Ding, Zhang, AE-FLOW, ICLR 2023). Where the doublings do not
    end at `size` (SqueezeNet's 15×15), linear interpolation before tanh does the rest. Frozen, and without
    gradient on a CPU, it is one call of compiled code where that is faster (`convolution3.doublings`).

    Args:
        hidden: the widths between the map and the image; `len(hidden) + 1` blocks.
        tanh_everywhere: tanh after every transposed convolution and no 3×3 convolution, as a student's
            reproduction had it (a known fault, for the ablation).
    """

    def __init__(
        self,
        rank: int,
        channels_in: int,
        hidden: Sequence[int],
        channels_out: int,
        size: Sequence[int],
        *,
        tanh_everywhere: bool = False,
    ) -> None:
        super().__init__()
        self.size = tuple(size)
        self.doublings = len(hidden) + 1
        steps: list[nn.Module] = []
        previous = channels_in
        for width in hidden:
            steps.append(TRANSPOSED_CONVOLUTION[rank](previous, width, 2, 2))
            if tanh_everywhere:
                steps.append(nn.Tanh())
            else:
                steps += [nn.ReLU(), CONVOLUTION[rank](width, width, 3, padding=1), nn.ReLU()]
            previous = width
        steps.append(TRANSPOSED_CONVOLUTION[rank](previous, channels_out, 2, 2))
        self.network = nn.Sequential(*steps)

    def forward(self, z: Tensor) -> Tensor:
        steps = list(self.network)
        ends = tuple(length << self.doublings for length in z.shape[2:]) == self.size
        found = run_layers(z, [*steps, TANH]) if ends else run_layers(z, steps, self.size)
        if found is not None:
            return found
        x = channels_last(z)
        while steps:
            step = steps.pop(0)
            if isinstance(step, nn.Conv2d):  # ReLU follows
                x = convolve(x, step)
                steps.pop(0)
            else:
                x = step(x)
        return resize(x, self.size).float().tanh()
