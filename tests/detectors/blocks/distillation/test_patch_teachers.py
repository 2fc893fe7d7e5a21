import pytest
import torch
from in_memory import blobs

from secondread.detectors.blocks.distillation.patch_teachers import PatchTeachers, PatchTeacherSettings
from secondread.detectors.contract import Batch


def make(**changes):
    given = {
        "patches": (17, 33),
        "width": 4,
        "descriptor": 4,
        "encoder": {"weights": "random", "layer": "features.4"},
        "enlarged": 16,
        "across": (1.0, 1.5),
        **changes,
    }
    torch.manual_seed(0)
    return PatchTeachers(PatchTeacherSettings.model_validate(given), 1, (36, 36), pretrained=False)


def losses(teachers, batches, seed=0):
    with torch.no_grad():
        return teachers.loss(batches, torch.Generator().manual_seed(seed))


def test_each_side_has_its_three_losses_with_their_weights():
    batches = {"normal": Batch(blobs(6, (36, 36)))}
    one = losses(make(), batches)
    kinds = ("distillation", "metric", "compactness")
    assert set(one) == {f"{kind} {side}" for kind in kinds for side in (17, 33)}
    other = losses(make(distillation=2.0, metric=3.0, compactness=0.0), batches)
    for name, factor in zip(kinds, (2, 3, 0), strict=True):
        torch.testing.assert_close(other[f"{name} 33"], factor * one[f"{name} 33"])


def test_auxiliary_images_come_before_normals():
    normal, auxiliary = (Batch(blobs(4, (36, 36), seed=seed)) for seed in (0, 1))
    teachers = make()
    both = losses(teachers, {"normal": normal, "auxiliary": auxiliary})
    torch.testing.assert_close(both, losses(teachers, {"normal": auxiliary}))
    assert both != losses(teachers, {"normal": normal})
    stage = teachers.stage()
    assert stage.on == {"auxiliary": 1.0, "normal": 0.0}


def test_what_is_learnt_from_is_standardised_where_asked_for():
    teachers, images = make(standardise=True), blobs(24, (36, 36))
    assert make().stage().prepare is None
    with torch.no_grad():
        teachers.prepare(iter([{"normal": Batch(images)}] * 8), torch.Generator().manual_seed(0))
        generator = torch.Generator().manual_seed(1)
        cut = [teachers._cut(images.repeat(8, 1, 1, 1), side, generator)[0] for side in (17, 33)]
        wanted = torch.cat(teachers._wanted(cut), dim=1)
    assert float(wanted.mean().abs()) < 0.1
    # channels that hardly vary stay below one
    assert 0.8 < float(wanted.std(dim=0).max()) < 1.1


def test_a_positive_is_the_patch_lit_and_noised_and_moved():
    still = make(luminance=0.0, noise=0.0)
    anchors, positives = still._cut(blobs(5, (36, 36)), 17, torch.Generator().manual_seed(0))
    assert anchors.shape == positives.shape == (5, 1, 17, 17)
    assert 0 < float((anchors - positives).abs().mean()) < 0.3
    noised = make(luminance=0.0, noise=0.1)._cut(blobs(5, (36, 36)), 17, torch.Generator().manual_seed(0))[1]
    assert float((noised - positives).std()) == pytest.approx(0.1, rel=0.1)


def test_settings_that_do_not_fit_are_told():
    with pytest.raises(ValueError, match="names a side twice"):
        make(patches=(17, 17))
    with pytest.raises(ValueError, match="the fewest and the most"):
        make(across=(2.0, 1.0))
    with pytest.raises(ValueError, match="an encoder with pretrained weights, not conv"):
        make(encoder={"name": "conv"})
