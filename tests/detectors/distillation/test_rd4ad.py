import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.distillation.rd4ad import RD4AD, RD4ADSettings
from secondread.networks.distillation.cosine import cosine_distance_map
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def make(**changes):
    form = RD4AD.tiny(2)
    settings = RD4ADSettings.model_validate({**form.settings.model_dump(), **changes})
    return RD4AD(settings, form.channels, form.size)


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("rd4ad-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
    images = torch.empty(2, 3, 256, 256, device="meta")
    maps = detector.maps(images)
    assert [tuple(x.shape[1:]) for x in maps] == [(256, 64, 64), (512, 32, 32), (1024, 16, 16)]
    assert detector.student.bottleneck(maps).shape == (2, 2048, 8, 8)
    (rebuilt,) = detector.student(maps)
    assert [x.shape for x in rebuilt] == [x.shape for x in maps]
    stage, settings = recipe.stages["student"], detector.settings
    assert (stage.epochs, stage.batch_size, stage.optimiser.lr) == (200, 16, 5e-3)
    assert stage.optimiser.betas == (0.5, 0.999)
    assert (settings.loss, settings.smoothing, settings.image_score) == ("flattened", 4.0, "max")


def test_the_map_is_the_sum_of_the_levels_distances_at_their_places():
    detector = make(smoothing=0)
    images = blobs(2, (32, 32))
    fit(detector, images, steps=2)
    with torch.no_grad():
        teacher = detector.maps(images)
        (rebuilt,) = detector.student(teacher)
        pairs = enumerate(zip(teacher, rebuilt, strict=True))
        expected = sum(detector.maps.place(cosine_distance_map(t, s), level) for level, (t, s) in pairs)
    scores = score(detector, images)
    torch.testing.assert_close(scores.maps["distance"], expected)
    torch.testing.assert_close(scores.parts["distance"].values, expected.flatten(1).amax(dim=1))


@pytest.mark.parametrize("loss", ["flattened", pytest.param("per_position", marks=pytest.mark.slow)])
def test_training_reduces_the_loss_on_features_alone(loss):
    detector = make(loss=loss)
    teacher = {name: t.clone() for name, t in detector.maps.state_dict().items()}
    (losses,) = fit(detector, blobs(16, (32, 32)), steps=20).values()
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(teacher[name], t) for name, t in detector.maps.state_dict().items())
    images = blobs(3, (32, 32))
    kept = Batch(torch.zeros_like(images), features=detector.maps(images))
    found = [detector.loss({"normal": batch}, torch.Generator()) for batch in (Batch(images), kept)]
    torch.testing.assert_close(found[0], found[1])


def test_a_lesion_raises_the_map_where_it_lies():
    detector = make(layers=("features.4",), loss="per_position")
    fit(detector, blobs(32, (32, 32)), steps=50, lr=5e-3)
    healthy, ill = (blobs(8, (32, 32), seed=9, lesion=lesion) for lesion in (False, True))
    before, after = (score(detector, images).maps["distance"].mean(dim=(0, 1)) for images in (healthy, ill))
    change = after - before
    assert float(change[14:23, 14:23].mean()) > 1.5 * float(change.mean()) > 0


@pytest.mark.parametrize("image_score", ["max", "mean", "top"])
def test_padding_does_not_count(image_score):
    detector = make(image_score=image_score)
    fit(detector, blobs(8, (32, 32)), steps=2)
    images = blobs(2, (32, 32))
    valid = torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    shown = score(detector, images, valid).maps["distance"][..., :16].flatten(1)
    expected = {
        "max": shown.amax(dim=1),
        "mean": shown.mean(dim=1),
        "top": shown.topk(52, dim=1).values.mean(dim=1),  # a tenth of 512
    }[image_score]
    torch.testing.assert_close(score(detector, images, valid).parts["distance"].values, expected)


def test_as_many_blocks_as_levels_or_one():
    with pytest.raises(ValueError, match=r"student.blocks \[1, 2, 3\]: the encoder gives 2 levels"):
        make(student={"blocks": (1, 2, 3)})
