"""A network that follows another one: the teacher of mean-teacher and self-distillation methods."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import torch
from torch import nn


class MovingAverageCopy(nn.Module):
    """A copy of `source` whose values are the moving average of the source's.

        a <- decay * a + (1 - decay) * p      at each `update(source)`

    for parameters p, and for buffers of floating point; other buffers are copied. Everything in it is a
    buffer, so that nothing trains it and a resumed fit has it (A. Tarvainen, H. Valpola, Mean teachers are
    better role models, NeurIPS 2017).
    """

    def __init__(self, source: nn.Module) -> None:
        super().__init__()
        self.network = deepcopy(source)
        for module in self.network.modules():
            for name, parameter in list(module.named_parameters(recurse=False)):
                delattr(module, name)
                module.register_buffer(name, parameter.detach().clone())
        self.eval()

    def forward(self, *inputs: Any) -> Any:
        return self.network(*inputs)

    @torch.no_grad()
    def update(self, source: nn.Module, decay: float) -> None:
        values = {**dict(source.named_parameters()), **dict(source.named_buffers())}
        for name, average in self.network.named_buffers():
            if average.is_floating_point():
                average.lerp_(values[name].detach().to(average), 1 - decay)
            else:
                average.copy_(values[name])
