"""The teachers of patches in a bundle as an encoder: built from the tensors' shapes, and frozen."""

import hashlib
import json

import pytest
import torch
from safetensors.torch import save_file

from secondread.detectors.blocks.encoder_settings import build_encoder
from secondread.detectors.distillation.uninformed_students import UninformedStudents
from secondread.errors import UserError
from secondread.networks.cells import cells_of
from secondread.networks.encoders.patch_teacher import PatchTeacherEncoder, PatchTeacherEncoderSettings


def students(rank=2, **changes):
    form = UninformedStudents.tiny(rank)
    settings = form.settings.model_copy(update={"patches": (33, 17), **changes})
    torch.manual_seed(0)
    return UninformedStudents(settings, form.channels, (36,) * rank if rank == 2 else (18,) * rank)


def write(folder, state):
    folder.mkdir()
    save_file({name: tensor.contiguous() for name, tensor in state.items()}, folder / "model.safetensors")
    digest = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    (folder / "bundle.json").write_text(json.dumps({"files": {"model.safetensors": {"sha256": digest}}}))
    return folder


def settings_for(folder, **more):
    return PatchTeacherEncoder.completed(PatchTeacherEncoderSettings(weights=str(folder), **more))


@torch.no_grad()
def test_it_gives_the_teachers_descriptors_of_every_pixel_or_of_every_fourth(tmp_path):
    detector, images = students(), torch.rand(2, 1, 36, 36)
    folder = write(tmp_path / "taught", detector.state_dict())
    settings = settings_for(folder)
    assert (settings.patches, settings.width, settings.descriptor) == ((33, 17), 2, 3)
    assert (settings.rank, settings.colours) == (2, 1)
    layers = ("patches17", "patches33")
    for dense, strides in ((True, (1, 1)), (False, (1, 4))):
        own = settings.model_copy(update={"dense": dense})
        encoder = build_encoder(own, 2, 1, pretrained=True, layers=layers)
        expected = [net(net.around(images), dense=dense) for net in reversed(detector.teachers.each())]
        for found, one in zip(encoder(images), expected, strict=True):
            torch.testing.assert_close(found, one)
        cells = cells_of(encoder, 1, (36, 36))
        assert [(own.offset, own.stride) for own in cells] == [((0, 0), (step, step)) for step in strides]


@torch.no_grad()
def test_teachers_of_volumes_read_volumes(tmp_path):
    detector = students(rank=3, patches=(17,))
    settings = settings_for(write(tmp_path / "volumes", detector.state_dict()))
    (network,) = detector.teachers.each()
    images = torch.rand(1, 1, 18, 18, 18)
    (found,) = build_encoder(settings, 3, 1, pretrained=True)(images)
    torch.testing.assert_close(found, network(network.around(images)))
    with pytest.raises(ValueError, match=r"takes rank \[3\], not 2"):
        build_encoder(settings, 2, 1, pretrained=True)


def test_it_stays_frozen_and_a_bundle_builds_it_without_the_folder(tmp_path):
    settings = settings_for(write(tmp_path / "taught", students().state_dict()))
    encoder = build_encoder(settings, 2, 1, pretrained=True).train()
    assert not any(module.training for module in encoder.modules())
    assert not any(parameter.requires_grad for parameter in encoder.parameters())
    away = build_encoder(settings.model_copy(update={"weights": "away"}), 2, 1, pretrained=False)
    assert away.state_dict().keys() == encoder.state_dict().keys()


def test_what_does_not_fit_is_told_in_one_line(tmp_path):
    folder = write(tmp_path / "taught", students().state_dict())
    settings = settings_for(folder)
    with pytest.raises(UserError, match="has no teachers of patches; make some with `secondread fit"):
        settings_for(
            write(tmp_path / "other", {"teachers.networks.0.steps.0.weight": torch.zeros(2, 1, 3, 3)})
        )
    with pytest.raises(UserError, match=r"not the bundle that encoder\.digest names"):
        build_encoder(settings.model_copy(update={"digest": "0" * 64}), 2, 1, pretrained=True)
    for problem, changes in {
        "has no patches65: its bundle has patches33, patches17": {"layers": ("patches65",)},
        "has no layer 'layer1'": {"layers": ("layer1",)},
        "named once and in its order": {"layers": ("patches33", "patches17")},
        r"images of 1 channel\(s\), and preprocessing gives 3": {"channels": 3},
        r"set encoder\.weights to the bundle": {"settings": PatchTeacherEncoderSettings()},
    }.items():
        given = {"settings": settings, "channels": 1, "layers": None, **changes}
        with pytest.raises(ValueError, match=problem):
            build_encoder(given["settings"], 2, given["channels"], pretrained=True, layers=given["layers"])
    with pytest.raises(ValueError, match="patches of 33 pixels need images of at least 17"):
        build_encoder(settings, 2, 1, pretrained=True, layers=("patches33",))(torch.rand(1, 1, 16, 40))
