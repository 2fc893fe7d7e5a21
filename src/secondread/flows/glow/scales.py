"""What a coupling does to its other half, given its network's output h: one function per scheme."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from secondread.flows.spline import inverse_spline, spline

Scheme = Literal["glow", "shibata", "exp", "additive", "spline"]


@dataclass(frozen=True)
class Scale:
    """s(h), in nats its logarithm, and the slope d log s / dh.

        glow      s = sigmoid(h + 2)              within (0, 1); 0.8808 at h = 0
        shibata   s = sigmoid(h - 0.1) + 0.6      within (0.6, 1.6); 1.0750 at h = 0
        exp       s = exp(b tanh(h / b))          within (e^-b, e^b), b = `bound`; 1 at h = 0
        additive  s = 1, and the network gives no h
        spline    each number's own rational-quadratic spline of `bins` bins within [-b, b], in place of shift
                  and scale (`flows.spline`): `bend`, and `unbend` back; the identity at h = 0

    Sources: Kingma and Dhariwal, Glow, NeurIPS 2018 (code); Shibata et al. (two Glow models, log
    posterior); Dinh et al., NICE, 2015; Durkan et al., Neural spline flows, NeurIPS 2019.
    """

    scheme: Scheme = "glow"
    bound: float = 2.0
    bins: int = 8

    @property
    def outputs(self) -> int:
        """Numbers per changed channel that the network gives: shift alone, shift and h, or a spline's."""
        return {"additive": 1, "spline": 3 * self.bins - 1}.get(self.scheme, 2)

    @property
    def shifted(self) -> bool:
        """Whether the network gives a shift before h."""
        return self.scheme != "spline"

    def bend(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """The spline of x `[rest, N, *S]` and the logarithm of its slope, for h `[outputs * rest, N, *S]`."""
        return spline(x, self._coefficients(h), self.bound)

    def unbend(self, y: Tensor, h: Tensor) -> Tensor:
        """The x whose spline is y."""
        return inverse_spline(y, self._coefficients(h), self.bound)

    def _coefficients(self, h: Tensor) -> Tensor:
        return h.unflatten(0, (-1, self.outputs)).movedim(1, -1)

    def __call__(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """s and log s; ValueError for a spline, which has no scale of its own."""
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
        raise ValueError(f"{self.scheme}: not a scale")

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
        raise ValueError(f"{self.scheme}: not a scale")
