"""How a coupling's network output h becomes the scale of the other half: one function per scheme."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

Scheme = Literal["glow", "shibata", "exp", "additive"]


@dataclass(frozen=True)
class Scale:
    """s(h), in nats its logarithm, and the slope d log s / dh.

        glow      s = sigmoid(h + 2)              within (0, 1); 0.8808 at h = 0
        shibata   s = sigmoid(h - 0.1) + 0.6      within (0.6, 1.6); 1.0750 at h = 0
        exp       s = exp(b tanh(h / b))          within (e^-b, e^b), b = `bound`; 1 at h = 0
        additive  s = 1, and the network gives no h

    Sources: Kingma and Dhariwal, Glow, NeurIPS 2018 (code); Shibata et al. (two Glow models, log
    posterior); Dinh et al., NICE, 2015.
    """

    scheme: Scheme = "glow"
    bound: float = 2.0

    @property
    def outputs(self) -> int:
        """Numbers per scaled channel that the network gives: shift alone, or shift and h."""
        return 1 if self.scheme == "additive" else 2

    def __call__(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """s and log s."""
        match self.scheme:
            case "glow":
                log = functional.logsigmoid(h + 2.0)
                return log.exp(), log
            case "shibata":
                scale = torch.sigmoid(h - 0.1) + 0.6
                return scale, scale.log()
            case "exp":
                log = self.bound * torch.tanh(h / self.bound)
                return log.exp(), log
            case "additive":
                return torch.ones_like(h), torch.zeros_like(h)

    def slope(self, h: Tensor) -> Tensor:
        """d log s / dh."""
        match self.scheme:
            case "glow":
                return torch.sigmoid(-2.0 - h)
            case "shibata":
                gate = torch.sigmoid(h - 0.1)
                return gate * (1.0 - gate) / (gate + 0.6)
            case "exp":
                return 1.0 - torch.tanh(h / self.bound).square()
            case "additive":
                return torch.zeros_like(h)

    def at_zero(self) -> float:
        """s(0), with which a coupling of zero weights multiplies."""
        return {
            "glow": 1 / (1 + math.exp(-2.0)),
            "shibata": 1 / (1 + math.exp(0.1)) + 0.6,
            "exp": 1.0,
            "additive": 1.0,
        }[self.scheme]
