"""Attention, which torch has in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from secondread.exporting.written import Written

Write = Callable[..., Any]


def _attention(
    w: Written, out: Any, q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, causal: bool = False,
    *, attn_mask: Tensor | None = None, scale: float | None = None,
) -> list[str]:  # fmt: skip
    """softmax(q k^T · scale + mask) v."""
    g = w.graph
    factor = q.shape[-1] ** -0.5 if scale is None else scale
    turned = g.node("Transpose", w.name(k), perm=[*range(k.dim() - 2), k.dim() - 1, k.dim() - 2])
    scaled = g.node("Mul", w.name(q), g.constant(factor, q.dtype))
    weights = g.node("MatMul", scaled, turned)
    if causal:
        hidden = torch.full((q.shape[-2], k.shape[-2]), -torch.inf, dtype=q.dtype).triu(1)
        weights = g.node("Add", weights, g.constant(hidden, q.dtype))
    if attn_mask is not None:
        weights = g.node("Add", weights, w.name(attn_mask))
    return [g.node("MatMul", g.node("Softmax", weights, axis=-1), w.name(v))]


ATTENTION: dict[str, Write] = {"_scaled_dot_product_flash_attention_for_cpu": _attention}
