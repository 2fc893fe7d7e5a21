"""A plain autoencoder: what it cannot rebuild is abnormal."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor

from secondread.detectors.blocks.reconstruction import ReconstructionDetector, ReconstructionSettings
from secondread.detectors.blocks.valid_positions import mean_over
from secondread.networks.cells import Cells, place
from secondread.networks.structural_similarity import structural_similarity, structural_similarity_map


class AESettings(ReconstructionSettings):
    name: Literal["ae"] = "ae"
    loss: Literal["l2", "l1", "ssim"] = "l2"


class AE(ReconstructionDetector):
    """error = (x - x')^2, |x - x'|, or 1 - SSIM(x, x'), with x' = decoder(encoder(x)).

    The loss is the error's mean. SSIM is taken on [0, 1] with an 11×11 (11×11×11) Gaussian window, x' not
    clipped; its map holds each window at its centre, and the part is the mean over windows inside the valid
    area.

    See `ReconstructionDetector` for network, stage, part and map.

    Sources: Y. Cai, H. Chen, X. Yang, Y. Zhou, K.-T. Cheng, Dual-distribution discrepancy with
    self-supervised refinement for anomaly detection in medical images, Medical Image Analysis 2023;
    P. Bergmann et al., Improving unsupervised defect segmentation by applying structural similarity to
    autoencoders, VISAPP 2019.
    """

    Settings = AESettings

    @classmethod
    def terms(cls, settings: Any, output: Any, x: Tensor, valid: Tensor | None) -> dict[str, Tensor]:
        return {"reconstruction": cls.image_error(settings, output, x, valid).mean()}

    @classmethod
    def error(cls, settings: AESettings, output: Any, x: Tensor) -> Tensor:
        rebuilt = cls.mean(output)
        match settings.loss:
            case "l2":
                return (x - rebuilt).square().mean(dim=1, keepdim=True)
            case "l1":
                return (x - rebuilt).abs().mean(dim=1, keepdim=True)
            case "ssim":
                similarity = structural_similarity_map((rebuilt + 1) / 2, (x + 1) / 2)
                size = tuple(x.shape[2:])
                windows = [length - kept + 1 for length, kept in zip(size, similarity.shape[2:], strict=True)]
                one = [1] * len(size)
                cells = Cells.pixels(len(size)).seen_through(windows, one, [0] * len(size))
                return 1 - place(similarity, cells, size)

    @classmethod
    def image_error(cls, settings: AESettings, output: Any, x: Tensor, valid: Tensor | None) -> Tensor:
        if settings.loss == "ssim":
            return 1 - structural_similarity((cls.mean(output) + 1) / 2, (x + 1) / 2, valid)
        return mean_over(cls.error(settings, output, x), valid)
