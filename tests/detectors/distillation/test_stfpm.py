import pytest
import torch
from in_memory import blobs, fit, score

from secondread.detectors.contract import Batch
from secondread.detectors.distillation.stfpm import STFPM, STFPMSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def make(**changes):
    form = STFPM.tiny(2)
    settings = STFPMSettings.model_validate({**form.settings.model_dump(), **changes})
    return STFPM(settings, form.channels, form.size)


def distances(detector, images):
    """|t - s|² of each level, of maps of unit length."""
    with torch.no_grad():
        pairs = zip(detector.maps(images), detector.student(images), strict=True)
        units = [[torch.nn.functional.normalize(x, dim=1) for x in pair] for pair in pairs]
    return [(t - s).square().sum(dim=1, keepdim=True) for t, s in units]


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("stfpm-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        images = torch.empty(2, 3, 256, 256)
    levels = [(64, 64, 64), (128, 32, 32), (256, 16, 16)]
    assert [tuple(x.shape[1:]) for x in detector.maps(images)] == levels
    assert [tuple(x.shape[1:]) for x in detector.student(images)] == levels
    # ResNet-18 without its last level and its classifier
    assert sum(p.numel() for p in detector.student.parameters()) == 11_689_512 - 513_000 - 8_393_728
    stage, settings = recipe.stages["student"], detector.settings
    assert (stage.epochs, stage.batch_size, stage.keep, recipe.cohorts.validation) == (100, 32, "best", 0.2)
    optimiser = stage.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.momentum) == ("sgd", 0.4, 0.9)
    assert optimiser.weight_decay == 1e-4
    assert (settings.combine, settings.image_score, settings.smoothing) == ("product", "max", 0)


def test_the_loss_is_the_squared_distance_of_maps_of_unit_length():
    detector, images = make(), blobs(3, (32, 32))
    with torch.no_grad():
        loss = detector.loss({"normal": Batch(images)}, torch.Generator())["distance"]
    torch.testing.assert_close(loss, sum(d.mean() for d in distances(detector, images)))


@pytest.mark.parametrize("combine", ["product", "sum"])
def test_the_map_combines_the_levels_and_its_mean_is_what_epochs_are_compared_by(combine):
    detector, images = make(combine=combine), blobs(3, (32, 32))
    fit(detector, images, steps=2)
    first, second = (detector.maps.place(d, level) for level, d in enumerate(distances(detector, images)))
    expected = first * second if combine == "product" else first + second
    shown = score(detector, images)
    torch.testing.assert_close(shown.maps["distance"], expected)
    torch.testing.assert_close(shown.parts["distance"].values, expected.flatten(1).amax(dim=1))
    with torch.no_grad():
        held_out = detector.mean_of_the_map({"normal": Batch(images)}, torch.Generator())
    torch.testing.assert_close(held_out["map"], expected.mean())


def test_the_student_starts_from_nothing_and_learns_while_the_teacher_stays():
    detector = make(encoder={"name": "resnet18", "weights": "random"}, layers=("layer1", "layer2"))
    assert not torch.equal(detector.student.network.conv1.weight, detector.maps.encoder.network.conv1.weight)
    teacher = {name: t.clone() for name, t in detector.maps.state_dict().items()}
    statistics = detector.student.network.bn1.running_mean.clone()
    (losses,) = fit(detector, blobs(16, (32, 32)), steps=20).values()
    assert losses[-1] < 0.7 * losses[0]
    assert all(torch.equal(teacher[name], t) for name, t in detector.maps.state_dict().items())
    assert not torch.equal(detector.student.network.bn1.running_mean, statistics)


def test_a_lesion_raises_the_map_where_it_lies():
    detector = make(combine="sum")
    fit(detector, blobs(32, (32, 32)), steps=30, lr=2e-3)
    healthy, ill = (blobs(8, (32, 32), seed=9, lesion=lesion) for lesion in (False, True))
    before, after = (score(detector, images).maps["distance"].mean(dim=(0, 1)) for images in (healthy, ill))
    change = after - before
    assert float(change[14:23, 14:23].mean()) > 1.5 * float(change.mean()) > 0


def test_padding_does_not_count():
    detector = make()
    fit(detector, blobs(8, (32, 32)), steps=2)
    images, valid = blobs(2, (32, 32)), torch.ones(2, 1, 32, 32, dtype=torch.bool)
    valid[..., 16:] = False
    shown = score(detector, images).maps["distance"][..., :16].flatten(1)
    torch.testing.assert_close(score(detector, images, valid).parts["distance"].values, shown.amax(dim=1))
