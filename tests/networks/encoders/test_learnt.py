"""The encoder of a bundle: built from its tensors' shapes, and frozen."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from secondread.detectors.blocks.encoder_settings import build_encoder
from secondread.errors import UserError
from secondread.networks.encoders.learnt import LearntEncoder, LearntSettings
from secondread.networks.encoders.residual import ResidualEncoder
from secondread.networks.slices import SliceEncoder

LAYERS = ("layer1", "layer2", "layer3")


def write(folder, tensors, declared=None):
    folder.mkdir()
    save_file(tensors, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    files = {"model.safetensors": {"sha256": declared or digest}}
    (folder / "bundle.json").write_text(json.dumps({"files": files}))
    return folder


def made(rank=2, channels=1, layers=LAYERS):
    torch.manual_seed(0)
    encoder = ResidualEncoder(rank, channels, layers, width=4, blocks=1)
    for name, buffer in encoder.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
    return encoder.eval()


def settings_for(folder, **more):
    return LearntEncoder.completed(LearntSettings(weights=str(folder), **more))


@torch.no_grad()
def test_it_gives_the_maps_of_the_encoder_that_learnt(tmp_path):
    learnt = made()
    state = {f"encoder.{name}": tensor for name, tensor in learnt.state_dict().items()}
    folder = write(tmp_path / "own", {**state, "head.weight": torch.zeros(3)})
    settings = settings_for(folder)
    assert (settings.width, settings.blocks, settings.rank, settings.colours) == (4, 1, 2, 1)
    assert settings.digest == hashlib.sha256((folder / "bundle.json").read_bytes()).hexdigest()
    images = torch.rand(2, 1, 32, 32)
    found = build_encoder(settings, 2, 1, pretrained=True, layers=LAYERS)(images)
    for one, expected in zip(found, learnt(images), strict=True):
        torch.testing.assert_close(one, expected)
    (first,) = build_encoder(settings, 2, 1, pretrained=True, layers=("layer1",))(images)
    torch.testing.assert_close(first, found[0])


def test_it_stays_frozen_and_in_eval_mode_and_a_bundle_builds_it_without_the_folder(tmp_path):
    folder = write(tmp_path / "own", {f"encoder.{k}": v for k, v in made().state_dict().items()})
    settings = settings_for(folder)
    encoder = build_encoder(settings, 2, 1, pretrained=True).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    assert encoder.weights_file.path == folder / "model.safetensors"
    away = build_encoder(settings.model_copy(update={"weights": "own"}), 2, 1, pretrained=False)
    assert away.state_dict().keys() == encoder.state_dict().keys()


@torch.no_grad()
def test_one_of_pictures_reads_slices_and_one_of_volumes_reads_volumes(tmp_path):
    pictures = write(tmp_path / "pictures", {f"encoder.{k}": v for k, v in made().state_dict().items()})
    sliced = build_encoder(settings_for(pictures), 3, 1, pretrained=True, layers=("layer1",))
    assert isinstance(sliced, SliceEncoder)
    assert sliced(torch.rand(1, 1, 8, 16, 16))[0].shape == (1, 4, 2, 4, 4)
    whole = made(rank=3)
    volumes = write(tmp_path / "volumes", {f"encoder.{k}": v for k, v in whole.state_dict().items()})
    encoder = build_encoder(settings_for(volumes), 3, 1, pretrained=True, layers=LAYERS)
    images = torch.rand(1, 1, 16, 16, 16)
    torch.testing.assert_close(encoder(images)[2], whole(images)[2])
    with pytest.raises(ValueError, match=r"takes rank \[3\], not 2"):
        build_encoder(settings_for(volumes), 2, 1, pretrained=True)


def test_what_is_no_such_bundle_is_told_in_one_line(tmp_path):
    state = {f"encoder.{k}": v for k, v in made().state_dict().items()}
    folder = write(tmp_path / "own", state)
    for problem, act in {
        "no bundle here": lambda: settings_for(tmp_path / "nowhere"),
        "has learned no encoder of the kind residual": lambda: settings_for(
            write(tmp_path / "other", {"network.weight": torch.zeros(2)})
        ),
        "its SHA-256 is not the one": lambda: build_encoder(
            settings_for(write(tmp_path / "changed", state, declared="0" * 64)), 2, 1, pretrained=True
        ),
        "has learned up to layer3, and layer4 is wanted": lambda: build_encoder(
            settings_for(folder), 2, 1, pretrained=True, layers=("layer4",)
        ),
        "not the bundle that encoder.digest names": lambda: build_encoder(
            settings_for(folder, digest="0" * 64, width=4, blocks=1), 2, 1, pretrained=True
        ),
    }.items():
        with pytest.raises(UserError, match=problem) as caught:
            act()
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"learned from images of 1 channel\(s\), and preprocessing gives 3"):
        build_encoder(settings_for(folder), 2, 3, pretrained=True)
    with pytest.raises(ValueError, match=r"set encoder\.weights to the bundle"):
        build_encoder(LearntSettings(), 2, 1, pretrained=True)
