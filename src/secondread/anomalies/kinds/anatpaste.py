"""AnatPaste: a part of an image is pasted, with soft edges, onto another place within its foreground."""

from __future__ import annotations

from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    Range,
    Share,
    ShareRange,
    between,
    per_image,
    refuse_misfits,
    uniform,
)
from secondread.anomalies.patches import corners, jittered, log_aspects, sides, taken, turned_offsets
from secondread.anomalies.placement import below, valid_box


class AnatPasteSettings(AnomalySettings):
    """The defaults are the paper's, pixels as shares of 256."""

    name: Literal["anatpaste"] = "anatpaste"
    above: float | None = Field(
        None, description="the foreground is what is brighter; all that is valid if not set"
    )
    under: float | None = Field(
        None, description="the foreground is what is darker, such as lungs in chest films"
    )
    area: ShareRange = Field((0.02, 0.15), description="of a patch, as share of the image's area or volume")
    aspect: Annotated[Range, Field(description="the ratio of a patch's sides")] = (0.3, 1 / 0.3)
    margin: Share = Field(
        10 / 256, description="from the patch's edge to the shape's, as share of the image's side"
    )
    blur: ShareRange = Field((0.0, 14 / 256), description="deviation of the soft edge, as share of the side")
    opacity: ShareRange = Field((150 / 255, 1.0), description="of what is pasted")
    ellipses: Share = Field(0.5, description="probability that the shape is an ellipse, and not a rectangle")
    jitter: Share = Field(0.1, description="brightness and contrast change by at most this share")
    target: Literal["mask", "opacity"] = Field(
        "mask", description="1 where at least half of the opacity is left, or the opacity"
    )


class AnatPaste(MakeAnomalies):
    """x'(q) = (1 - α(q)) x(q) + α(q) j(x(q - d + s)) in the foreground, x'(q) = x(q) elsewhere.

    A patch as CutPaste's, from anywhere (s), is pasted onto a place whose middle d is any position of the
    foreground. α is a rectangle or an ellipse within the patch, `margin` smaller on each side, blurred
    by a Gaussian and times an opacity; j changes brightness and contrast. Nothing is pasted from outside the
    patch, outside the image or from padding. An image without foreground stays as it is.

    The foreground is what is valid and, where thresholds are given, has a mean over its channels between
    them: `under` finds lungs, `above` the head or body. It is to be set in the values of the prepared image.

    mask    where x' differs from x
    target  there: whether α is at least half the opacity, or α

    Source: J. Sato, Y. Suzuki, T. Wataya, D. Nishigaki, K. Kita, K. Yamagata, N. Tomiyama, S. Kido,
    Anatomy-aware self-supervised learning for anomaly detection in chest radiographs, iScience 2023, with the
    ranges of its code. There the lungs are found by Otsu's threshold and morphology, and films in which none
    are found get a patch anywhere. A blurred rectangle is exact here; an ellipse's edge falls as a straight
    edge's would. In volumes alike, with three sides.
    """

    Settings = AnatPasteSettings
    settings: AnatPasteSettings
    title = "AnatPaste"
    paper = "Sato et al., iScience 2023"

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. Donors are not used."""
        refuse_misfits(images, valid, donors, donors_valid)
        settings, rank, size = self.settings, images.dim() - 2, images.shape[2:]
        box = valid_box(images, valid)
        drawn = uniform(generator, images, 8 + rank + rank - 1)
        own, places, aspects = drawn.split([8, rank, rank - 1], dim=1)
        foreground = self.foreground(images, valid)
        side = sides(between(own[:, 1], settings.area), log_aspects(aspects, settings.aspect), box)
        middle = (side - 1) / 2
        source = corners(places, side, box) + middle
        goal = any_position(own[:, 2], foreground) + middle - middle.floor()
        offsets = turned_offsets(
            goal, torch.eye(rank, device=images.device).expand(len(images), -1, -1), size
        )
        soft = self.shape(own[:, 3], own[:, 4], side, box.side, offsets)
        inside = foreground & per_image(own[:, 0] < settings.share, rank)
        for offset, along in zip(offsets, side.unbind(dim=1), strict=True):
            inside &= offset.abs() <= per_image(along / 2, rank)
        if valid is not None:
            inside &= taken(valid, source, offsets)
        opacity = per_image(between(own[:, 5], settings.opacity), rank)
        pasted = jittered(taken(images, source, offsets), inside, own[:, 6:8], settings.jitter, images, valid)
        alpha = soft * opacity
        mixed = torch.lerp(images, pasted, alpha.to(images.dtype))
        mask = inside & (mixed != images).any(dim=1, keepdim=True)
        target = (soft >= 0.5).float() if settings.target == "mask" else alpha
        return Anomalies(torch.where(mask, mixed, images), mask, target * mask)

    def foreground(self, images: Tensor, valid: Tensor | None) -> Tensor:
        """bool `[N, 1, *S]`."""
        mean = images.mean(dim=1, keepdim=True)
        found = torch.ones_like(mean, dtype=torch.bool) if valid is None else valid.clone()
        if self.settings.above is not None:
            found &= mean > self.settings.above
        if self.settings.under is not None:
            found &= mean < self.settings.under
        return found

    def shape(
        self, kind: Tensor, blur: Tensor, side: Tensor, image_side: Tensor, offsets: list[Tensor]
    ) -> Tensor:
        """The blurred rectangle or ellipse, 0 to 1: float32 `[N, 1, *S]`."""
        rank = len(offsets)
        half = torch.minimum((side / 2 - self.settings.margin * image_side).clamp_min(1), side / 2)
        shortest = image_side.amin(dim=1)
        deviation = per_image((between(blur, self.settings.blur) * shortest).clamp_min(1e-3), rank)
        rectangle = torch.ones_like(offsets[0])
        square = torch.zeros_like(offsets[0])
        for offset, reach in zip(offsets, half.unbind(dim=1), strict=True):
            own = per_image(reach, rank)
            rectangle *= normal((offset + own) / deviation) - normal((offset - own) / deviation)
            square += (offset / own).square()
        ellipse = normal((1 - square.sqrt()) * per_image(half.amin(dim=1), rank) / deviation)
        return torch.where(per_image(kind < self.settings.ellipses, rank), ellipse, rectangle)


def normal(x: Tensor) -> Tensor:
    """The distribution function of the standard normal distribution."""
    return torch.special.ndtr(x)


def any_position(drawn: Tensor, mask: Tensor) -> Tensor:
    """One of the positions of each mask `[N, 1, *S]`, each as likely, from U[0, 1) `[N]`: float32
    `[N, rank]`; of an empty mask the last of the image."""
    size = mask.shape[2:]
    flat = mask.flatten(1)
    rank_of = below(drawn, torch.zeros_like(drawn), flat.sum(dim=1).float()).long() + 1
    at = torch.searchsorted(flat.cumsum(dim=1), rank_of[:, None]).clamp_max(flat.shape[1] - 1)[:, 0]
    found = []
    for length in reversed(size):
        found.append(at % length)
        at = at // length
    return torch.stack(found[::-1], dim=1).float()
