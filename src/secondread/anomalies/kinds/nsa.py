"""Natural synthetic anomalies: boxes of another image are resized, moved and Poisson-blended into each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Annotated, Literal

import numpy as np
import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat
from scipy.special import gammaincinv
from torch import Tensor

from secondread.anomalies.anomaly import (
    Anomalies,
    AnomalySettings,
    MakeAnomalies,
    Range,
    Share,
    ShareRange,
    refuse_misfits,
    uniform,
)
from secondread.anomalies.foreign import chosen
from secondread.anomalies.neighbourhoods import Mask, bounds_of, inner, interior, majority, medians
from secondread.anomalies.placement import valid_box
from secondread.anomalies.poisson import blended_box
from secondread.anomalies.resized import Cut, Floats, Scene, cut_out, place_for, resized, slices
from secondread.anomalies.values import values_of
from secondread.networks.by_rank import INTERPOLATION
from secondread.settings.base import Draws, Settings

LEAST = 8
"""Positions of a patch along each axis, so that something is left inside its border and by a majority."""


class GammaSettings(Settings):
    """offset + Gamma(shape, scale), each as share of the image's side."""

    shape: PositiveFloat = 2.0
    scale: PositiveFloat = 0.03
    offset: NonNegativeFloat = 0.05


class NaturalSettings(AnomalySettings):
    """The defaults are those for chest films, except for `share`: the paper changes every image."""

    name: Literal["nsa"] = "nsa"
    most: Draws = Field(3, description="patches in a changed image, at most")
    further: Share = Field(0.5, description="probability of each patch after the first")
    half_width: GammaSettings = GammaSettings()
    bounds: ShareRange = Field(
        (0.03, 0.4), description="of half the source's width, and of the resized patch's whole one"
    )
    resize: Range = Field(
        (0.7, 1.3), description="to which the factor of size, N(1, resize_deviation), is cut"
    )
    resize_deviation: NonNegativeFloat = 0.5
    blend: Literal["normal", "mixed", "either"] = Field(
        "mixed", description="the source's gradients, or the larger ones of both images, or one by chance"
    )
    foreground: float | None = Field(
        None, description="prepared values above it are the object, such as 0.08 of films; None = all is"
    )
    object_share: Share = Field(0.7, description="of the patch, that has to be the object")
    overlap: Share = Field(0.7, description="share of the patch's object that has to fall on the image's")
    attempts: Annotated[int, Field(ge=1, le=1000)] = Field(
        200, description="places tried for either condition; where none meets it, that patch is left out"
    )
    grey_level: PositiveFloat = Field(
        1 / 255, description="of 0 to 255, in prepared values; the default is that of images in [0, 1]"
    )
    least: NonNegativeFloat = Field(1.0, description="grey levels; a smaller change is no target")
    slope: PositiveFloat = Field(0.5, description="of the logistic target, for each grey level")
    middle: NonNegativeFloat = Field(4.0, description="change in grey levels whose target is ½")
    radius: Annotated[int, Field(ge=0, le=15)] | None = Field(
        None,
        description="of the median of changes; None = 5 in images, 2 in volumes, where a ball of 5 is slow",
    )
    target: Literal["logistic", "mask"] = Field("logistic", description="by the size of the change, or 1")


class NaturalPatches(MakeAnomalies):
    """Up to `most` boxes of another image d are resized, moved anywhere and blended into x:

        Σ_q (x'_p - x'_q) = Σ_q v_pq inside a box without its border,   x' = x elsewhere
        v = ∇d (`normal`), or ∇x or ∇d, whichever is larger (`mixed`)

    and x' is clipped to the values of x. The source's box has half-widths min(max(g, b₀), b₁) of the side,
    each axis its own g ~ offset + Gamma(shape, scale), about a centre that is at least b₀ away from the
    border, where it is cut off. It is resized (linearly) by one factor, N(1, resize_deviation) cut to
    `resize`, and the result held within b₀ and b₁ of the side again, and at 8 positions along each axis.

    Of up to `attempts` places the first is taken where at least `object_share` of the source's box is
    object; after resizing that is asked of the patch again, with at least `overlap` of its object on the
    object of x. An image's object is what is valid, and above `foreground`, as the majority of 7 positions
    per axis has it. Only valid positions are changed or taken over, as in `pii`.

    mask    where x' differs from x
    target  1 / (1 + exp(-slope (m - middle))), or 1, where the change, the mean over channels in grey levels,
            exceeds `least` as the majority of 5 positions per axis has it; m is the median around of the
            change, which counts as 0 where there is no target

    Source: H. M. Schlüter, J. Tan, B. Hou, B. Kainz, Natural synthetic anomalies for self-supervised anomaly
    detection and localization, ECCV 2022 (arXiv 2109.15222), and its code, of which the second use of the
    bounds is. That code blends with OpenCV's seamlessClone in whole grey levels, which mixes by another
    measure of gradients, and leaves out patches of fewer than 50 positions; here the equation is solved
    exactly, see `anomalies/poisson.py`. Volumes are ours.
    """

    Settings = NaturalSettings
    settings: NaturalSettings
    title = "natural synthetic anomalies"
    paper = "Schlüter et al., ECCV 2022"
    from_others = True

    def __call__(
        self,
        images: Tensor,
        generator: torch.Generator,
        *,
        donors: Tensor | None = None,
        valid: Tensor | None = None,
        donors_valid: Tensor | None = None,
    ) -> Anomalies:
        """See `MakeAnomalies`. Each image draws its donor from `donors`, or from the others of the batch;
        UserError where there is none, ValueError for more than three spatial axes."""
        refuse_misfits(images, valid, donors, donors_valid)
        settings, rank = self.settings, images.dim() - 2
        if rank not in INTERPOLATION:
            raise ValueError(f"nsa resizes images of up to three axes, and these have {rank}")
        drawn = uniform(generator, images, 3).cpu()
        donor = chosen(drawn[:, 0], len(images), donors, settings.name).tolist()
        shape = (len(images), settings.most)
        chances = uniform(generator, images, settings.most * (rank + 2)).cpu().view(*shape, rank + 2)
        tried = uniform(generator, images, settings.most * 2 * settings.attempts * rank).cpu()
        places = tried.view(*shape, 2, settings.attempts, rank).numpy()
        shares, factors = self.sizes(chances)
        further = (chances[..., -1] < settings.further).tolist()
        mixed = [
            settings.blend == "mixed" or (settings.blend == "either" and chance < 0.5)
            for chance in drawn[:, 2].tolist()
        ]
        theirs, theirs_valid = (images, valid) if donors is None else (donors, donors_valid)
        own_scenes = self.scenes(images, valid)
        scenes = own_scenes if donors is None else self.scenes(theirs, theirs_valid)
        inside = inner(valid, images)[:, 0].cpu().numpy()
        limits = torch.stack(values_of(images, valid)[:2]).flatten(1).T.cpu().numpy()
        solved, region = as_array(images).copy(), np.zeros(inside.shape, dtype=bool)
        for number in (drawn[:, 1] < settings.share).nonzero().flatten().tolist():
            target, source = own_scenes(number), scenes(donor[number])
            for patch in range(settings.most):
                if patch and not further[number][patch]:
                    continue
                found = self.placed(
                    shares[number][patch], factors[number][patch], places[number, patch], target, source
                )
                if found is None:
                    continue
                cut, around = found
                within = inside[(number, *around)] & interior(cut.valid, rank)
                self.blend(
                    solved[(number, slice(None), *around)], cut.values, within, limits[number], mixed[number]
                )
                region[(number, *around)] |= within & (cut.object | target.object[around])
        changed = torch.from_numpy(solved).to(images)
        change = (changed - images).abs()
        grey = (change.float().mean(dim=1) / settings.grey_level).cpu().numpy()
        targets = np.zeros(grey.shape, dtype=np.float32)
        for pair in zip(targets, grey, region, strict=True):
            self.learn(*pair)
        learnt = torch.from_numpy(targets)[:, None].to(images.device)
        return Anomalies(changed, change.amax(dim=1, keepdim=True) > 0, learnt)

    def sizes(self, chances: Tensor) -> tuple[list[list[list[float]]], list[list[float]]]:
        """Of each patch the half-widths, as shares of the side, and the factor by which it is resized: from
        U[0, 1) `[N, most, rank + 2]`."""
        settings, spread = self.settings, self.settings.half_width
        drawn = gammaincinv(spread.shape, chances[..., :-2].double().numpy()) * spread.scale + spread.offset
        chance = chances[..., -2].double().clamp(1e-6, 1 - 1e-6)
        factor = 1 + settings.resize_deviation * torch.special.ndtri(chance)
        return drawn.tolist(), factor.clamp(*settings.resize).tolist()

    def scenes(self, images: Tensor, valid: Tensor | None) -> Callable[[int], Scene]:
        """Each image by its number, looked at once it is wanted."""
        box = valid_box(images, valid)
        low, side = box.low.long().tolist(), box.side.long().tolist()
        everywhere = np.ones(images.shape[2:], dtype=bool)
        arrays = as_array(images)
        there = None if valid is None else valid[:, 0].cpu().numpy()
        bright = None
        if self.settings.foreground is not None:
            bright = (images.mean(dim=1) > self.settings.foreground).cpu().numpy()

        @cache
        def scene(number: int) -> Scene:
            seen = everywhere if there is None else there[number]
            thing = seen if bright is None else seen & majority(bright[number], 7)
            return Scene(arrays[number], seen, thing, low[number], side[number])

        return scene

    def placed(
        self, shares: list[float], factor: float, places: Floats, target: Scene, source: Scene
    ) -> tuple[Cut, tuple[slice, ...]] | None:
        """One patch, resized, and where it goes; places from U[0, 1) `[2, attempts, rank]`."""
        if not (target.object.any() and source.object.any()):
            return None
        settings = self.settings
        narrow, wide = ([max(2, round(share * side)) for side in source.side] for share in settings.bounds)
        half = [
            max(low, min(int(share * side), high))
            for share, side, low, high in zip(shares, source.side, narrow, wide, strict=True)
        ]
        cut = cut_out(source, half, narrow, settings.object_share, places[0])
        if cut is None:
            return None
        cut = resized(cut, resized_size(cut.size, factor, target.side, settings.bounds))
        first = place_for(cut, target, settings.object_share, settings.overlap, places[1])
        return None if first is None else (cut, slices(first, cut.size))

    def blend(self, image: Floats, source: Floats, within: Mask, limits: Floats, mixed: bool) -> None:
        """Changes `image` `[C, *n]` within the mask `[*n]`, whose border is False."""
        bounds = bounds_of(within)
        if bounds is None:
            return
        around = (slice(None), *(slice(low - 1, high + 1) for low, high in bounds))
        core = tuple(slice(low, high) for low, high in bounds)
        solved = blended_box(
            image[around].astype(np.float64),
            source[around].astype(np.float64),
            within[core],
            own=float(mixed),
            foreign=1.0,
            mixed=mixed,
        )
        np.copyto(image[(slice(None), *core)], solved.astype(image.dtype).clip(*limits), where=within[core])

    def learn(self, target: Floats, grey: Floats, region: Mask) -> None:
        """Sets the target of the change in grey levels, in the region: all `[*S]`."""
        settings = self.settings
        seen = region & (grey > settings.least)
        seen = region & (grey > 0) & majority(seen, 5)
        if settings.target == "mask":
            target[seen] = 1
            return
        radius = settings.radius
        if radius is None:
            radius = 5 if grey.ndim < 3 else 2
        around = torch.from_numpy(medians(grey * seen, seen, radius))
        target[seen] = torch.sigmoid(settings.slope * (around - settings.middle)).numpy()


def as_array(images: Tensor) -> Floats:
    """On the CPU, in a type that numpy has: float32 for bfloat16."""
    known = images.dtype in (torch.float16, torch.float32, torch.float64)
    found: Floats = (images if known else images.float()).cpu().numpy()
    return found


def resized_size(
    size: Sequence[int], factor: float, side: Sequence[int], bounds: tuple[float, float]
) -> list[int]:
    """Of a box `size` that is to be `factor` times as large, all axes alike, within `bounds` of `side`."""
    least = [min(s, max(LEAST, round(bounds[0] * s))) for s in side]
    most = [max(low, round(bounds[1] * s)) for low, s in zip(least, side, strict=True)]
    most = [min(high, s) for high, s in zip(most, side, strict=True)]
    factor = max(factor, *(low / n for low, n in zip(least, size, strict=True)))
    factor = min(factor, *(high / n for high, n in zip(most, size, strict=True)))
    return [min(max(round(factor * n), low), high) for n, low, high in zip(size, least, most, strict=True)]
