"""The network that turns discrepancy maps into an anomaly map, and its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from secondread.networks.by_rank import BATCH_NORM
from secondread.networks.convolution3 import convolution3
from secondread.networks.convolution3.fused_convolution import FusedSequence


class Refiner(nn.Module):
    """ASR-Net: maps `[N, channels, *S]` to two logits per place, normal and abnormal, `[N, 2, *S]`.

    Two convolutions of width 3 to `width` channels, each with batch normalisation and ReLU, and one to two
    channels: each place sees 7 along each axis.

    Source: Y. Cai, H. Chen, X. Yang, Y. Zhou, K.-T. Cheng, Dual-distribution discrepancy with
    self-supervised refinement for anomaly detection in medical images, Medical Image Analysis 2023.
    """

    def __init__(self, rank: int, channels: int, width: int = 128) -> None:
        super().__init__()
        norm = BATCH_NORM[rank]
        self.network = FusedSequence(
            convolution3(rank, channels, width),
            norm(width),
            nn.ReLU(inplace=True),
            convolution3(rank, width, width),
            norm(width),
            nn.ReLU(inplace=True),
            convolution3(rank, width, 2),
        )

    def forward(self, maps: Tensor) -> Tensor:
        return self.network(maps)


def focal_loss(logits: Tensor, abnormal: Tensor, gamma: float = 2.0, smooth: float = 1e-5) -> Tensor:
    """-(1 - p)^gamma log p at each place, with p the softmax probability of the true class: float32
    `[N, 1, *S]` from logits `[N, 2, *S]` and `abnormal` bool `[N, 1, *S]`.

        p = (1 - smooth) p_true + smooth p_other + smooth

    so that p is never 0 (the form that DDAD's code has).

    Source: T.-Y. Lin et al., Focal loss for dense object detection, ICCV 2017.
    """
    normal, other = logits.float().softmax(dim=1).chunk(2, dim=1)
    true = torch.where(abnormal, other, normal)
    p = (1 - smooth) * true + smooth * (1 - true) + smooth
    return -(1 - p).clamp_min(0).pow(gamma) * p.log()
