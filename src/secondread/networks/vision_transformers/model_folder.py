"""Where a vision transformer's files lie: a folder of your own, or the Hugging Face hub's cache."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from secondread.errors import UserError
from secondread.networks.vision_transformers.architecture import read_mapping
from secondread.networks.weights.find import FOLDER_VARIABLE, WeightsFile
from secondread.strict.plain_file import Unfit, open_plain
from secondread.strict.tensor_file import read_header
from secondread.wording.extras import install_command

FILES = ("config.json", "model.safetensors", "preprocessor_config.json")
"""All that is ever fetched or read: no code, no pickle."""
HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
"""A name on the hub: owner/model."""
SCALE = 1 / 255


def model_folder(model: str, revision: str | None, *, download: bool) -> Path:
    """The folder that holds `FILES` of `model`.

    model     a folder; or one in the folder named by SECONDREAD_WEIGHTS; or a name on the hub, whose files
              are in the hub's cache
    download  fetches what the cache lacks; without it nothing leaves the machine

    `UserError` names what was looked for, and the command that gets it.
    """
    given = Path(model).expanduser()
    own = os.environ.get(FOLDER_VARIABLE)
    places = [given, *((Path(own).expanduser() / part for part in (model, given.name)) if own else ())]
    for place in places:
        if place.is_dir():
            return _whole(place)
    if not HUB.fullmatch(model):
        raise UserError(
            f"encoder model not found: {model!r} is no folder here, nor a name on the hub (owner/model)"
        )
    fetch = " ".join(("hf download", model, *FILES, *(("--revision", revision) if revision else ())))
    try:
        hub = import_module("huggingface_hub")
    except ImportError:
        raise UserError(
            f"encoder model {model}: run {install_command('transformers')}, then {fetch}"
        ) from None
    try:
        return _whole(
            Path(
                hub.snapshot_download(
                    model, revision=revision, allow_patterns=list(FILES), local_files_only=not download
                )
            )
        )
    except Exception as error:  # the hub has many, for what is not there and what is not allowed
        why = "its files are not on this machine"
        if download:
            why = f"it could not be fetched ({' '.join(str(error).split())[:160]})"
        elif isinstance(error, UserError):
            why = "not all of its files are on this machine"
        raise UserError(
            f"encoder model {model}: {why}; run {fetch}, or set detector.encoder.download to true"
        ) from None


def own_folders() -> list[Path]:
    """The folders of models that lie in the one named by SECONDREAD_WEIGHTS."""
    own = os.environ.get(FOLDER_VARIABLE)
    found = sorted(Path(own).expanduser().glob("*/config.json")) if own else []
    return [file.parent for file in found if (file.parent / FILES[1]).is_file()]


def weights_of(folder: Path) -> WeightsFile:
    """The weights and their digest. `UserError` where they are no safetensors file."""
    file = folder / "model.safetensors"
    try:
        with open_plain(file) as opened:
            read_header(opened)
    except (Unfit, OSError) as error:
        raise UserError(f"{file}: is no safetensors file ({error}); refused") from None
    return WeightsFile.of(file)


def statistics_of(folder: Path) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation of [0, 1] with which the model was trained, as its
    `preprocessor_config.json` has them. `UserError` where it does not say, or scales images otherwise."""
    file = folder / "preprocessor_config.json"
    if not file.exists():
        raise UserError(
            f"{file}: is missing, and says by what mean and deviation images are standardised; put it there, "
            "or set detector.encoder.mean and detector.encoder.deviation"
        )
    given = read_mapping(file)
    if given.get("do_rescale", True) and abs(given.get("rescale_factor", SCALE) - SCALE) > 1e-9:
        raise UserError(f"{file}: rescale_factor is {given['rescale_factor']}, and 1/255 is what is known")
    if not given.get("do_normalize", True):
        return (0.0,) * 3, (1.0,) * 3
    found = [given.get(name) for name in ("image_mean", "image_std")]
    for values in found:
        if (
            not isinstance(values, list)
            or len(values) != 3
            or not all(type(v) in (int, float) for v in values)
        ):
            raise UserError(f"{file}: image_mean and image_std should be three numbers each")
    mean, deviation = found
    assert mean is not None
    assert deviation is not None
    if min(deviation) <= 0:
        raise UserError(f"{file}: image_std should be above 0")
    return mean, deviation


def _whole(folder: Path) -> Path:
    """The folder, where it holds a model. `UserError` for another."""
    for name in FILES[:2]:
        if not (folder / name).is_file():
            why = ""
            if name == "model.safetensors" and (folder / "pytorch_model.bin").is_file():
                why = "; pytorch_model.bin is a pickle, and is not read"
            raise UserError(f"encoder model not found: expected {name} in {folder}{why}")
    return folder
