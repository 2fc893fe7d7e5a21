"""The Glow of normflows with the weights of ours: an oracle in tests, a peer in benchmarks/speed/flows.py.

They coincide without the border channel and with unit Gaussians: normflows' GlowBlock from image to latent
variables is actnorm, 1×1 convolution, and (second - shift) * sigmoid(s + 2), with shift and s interleaved.
"""

from __future__ import annotations

import normflows
import torch
from torch import Tensor, nn


def make_normflows_glow(
    channels: int, size: tuple[int, ...], *, levels: int, depth: int, width: int, **options: bool
) -> normflows.MultiscaleFlow:
    """As in its own examples, on unit Gaussians: `options` go to GlowBlock."""
    priors, flows, merges = [], [], []
    for number in reversed(range(levels)):
        channels_there = channels * 2 ** (number + 2)
        blocks = [normflows.flows.GlowBlock(channels_there, width, **options) for _ in range(depth)]
        flows.append([*blocks, normflows.flows.Squeeze()])
        leaving = channels_there if number == levels - 1 else channels_there // 2
        shape = (leaving, *(side >> (number + 1) for side in size))
        priors.append(normflows.distributions.DiagGaussian(shape, trainable=False))
        merges.append(normflows.flows.Merge())
    return normflows.MultiscaleFlow(priors, flows, merges[1:], class_cond=False)


def normflows_state(glow: nn.Module, theirs: normflows.MultiscaleFlow) -> dict[str, Tensor]:
    """Their parameters and buffers by name, as functions of ours that autograd can follow."""
    found: dict[str, Tensor] = {}
    last = len(glow.levels) - 1
    for number, level in enumerate(glow.levels):
        blocks = theirs.flows[last - number]
        for place, step in enumerate(reversed(level.steps)):
            block = blocks[place]
            prefix = f"flows.{last - number}.{place}.flows"
            found.update(_coupling(step.net, f"{prefix}.0.flows.1.param_map.net", block))
            found.update(_mixing(step.mixing, f"{prefix}.1", use_lu=block.flows[1].use_lu))
            each = (1, -1, 1, 1)
            found[f"{prefix}.2.t"] = -step.mixing.bias.view(each)
            found[f"{prefix}.2.s"] = -step.mixing.log_scale.view(each)
            found[f"{prefix}.2.data_dep_init_done"] = torch.tensor(1.0)
    return found


def load_ours(theirs: normflows.MultiscaleFlow, glow: nn.Module) -> None:
    """Copy the weights of ours."""
    with torch.no_grad():
        own = theirs.state_dict()
        for name, value in normflows_state(glow, theirs).items():
            own[name].copy_(value)


def _coupling(net: nn.Module, prefix: str, block: nn.Module) -> dict[str, Tensor]:
    """Our actnorms inside the network are folded into its convolutions."""
    layers = block.flows[0].flows[1].param_map.net
    convolutions = [number for number, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    first, middle, last = (f"{prefix}.{number}" for number in convolutions)
    gain = torch.exp(3 * net.first_log_scale)
    found = {
        f"{first}.weight": net.first_weight * gain.view(-1, 1, 1, 1),
        f"{first}.bias": net.first_bias * gain,
    }
    gain = torch.exp(3 * net.middle_log_scale)
    found[f"{middle}.weight"] = (net.middle_weight * gain[:, None])[..., None, None]
    found[f"{middle}.bias"] = net.middle_bias * gain
    gain = torch.exp(3 * net.last_log_scale)
    weight = net.last_weight.flip(1, 2).permute(0, 3, 1, 2) * gain.view(-1, 1, 1, 1)
    bias = net.last_bias * gain
    additive = not block.flows[0].flows[1].scale
    found[f"{last}.weight"] = -weight if additive else _interleaved(weight)
    found[f"{last}.bias"] = -bias if additive else _interleaved(bias)
    return found


def _interleaved(x: Tensor) -> Tensor:
    """Shifts before scales become shift, scale, shift, scale; their shift is subtracted."""
    shift, scale = x.chunk(2)
    return torch.stack((-shift, scale), dim=1).flatten(0, 1)


def _mixing(mixing: nn.Module, prefix: str, *, use_lu: bool) -> dict[str, Tensor]:
    if not use_lu:
        return {f"{prefix}.W": mixing.matrix()}
    if mixing.form == "lu":
        parts = (mixing.order, mixing.lower, mixing.upper, mixing.log_diagonal, mixing.sign)
    else:
        order, lower, upper = torch.linalg.lu(mixing.weight)
        diagonal = upper.diagonal()
        parts = (order, lower, upper, diagonal.abs().log(), diagonal.sign())
    return {
        f"{prefix}.{name}": part for name, part in zip(("P", "L", "U", "log_S", "sign_S"), parts, strict=True)
    }
