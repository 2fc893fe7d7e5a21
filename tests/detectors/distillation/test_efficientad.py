import pytest
import torch
from in_memory import blobs, fit, score, train_on

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.distillation.efficientad import EfficientAD, EfficientADSettings
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (32, 32)


def make(size=SIZE, **changes):
    form = EfficientAD.tiny(2)
    settings = EfficientADSettings.model_validate({**form.settings.model_dump(), **changes})
    torch.manual_seed(0)
    return EfficientAD(settings, form.channels, size).eval()


@torch.no_grad()
def both_maps(detector, images):
    """The means over channels of (t - s)² and (a - s')², `[N, 2, *grid]`."""
    first, second = detector.student(images).chunk(2, dim=1)
    given = detector.teacher_standard(detector.teacher(images)), detector.autoencoder(images)
    pairs = zip(given, (first, second), strict=True)
    return torch.stack([(one - other).square().mean(dim=1) for one, other in pairs], dim=1)


@pytest.mark.parametrize(
    ("network", "teacher", "student"), [("small", 2_694_144, 4_267_392), ("medium", 8_026_624, 11_615_488)]
)
def test_the_paper_preset_has_the_papers_networks_and_values(network, teacher, student):
    recipe = Recipe.load("efficientad-paper", set=[f"detector.network={network}"])
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        images = torch.empty(1, 3, 256, 256)
        assert detector.teacher(images).shape == detector.autoencoder(images).shape == (1, 384, 56, 56)
        assert detector.student(images).shape == (1, 768, 56, 56)
    networks = (detector.teacher, detector.student, detector.autoencoder)
    counts = [sum(p.numel() for p in network.parameters()) for network in networks]
    assert counts == [teacher, student, 1_096_320]
    taught, stage, settings = recipe.stages["teacher"], recipe.stages["student"], detector.settings
    assert (taught.steps, taught.batch_size, taught.optimiser.lr) == (60_000, 16, 1e-4)
    assert (stage.steps, stage.optimiser.lr, stage.schedule.at) == (70_000, 1e-4, (0.95,))
    assert taught.optimiser.weight_decay == stage.optimiser.weight_decay == 1e-5
    assert (settings.hardest, settings.light, settings.dropout) == (0.001, 0.2, 0.2)
    assert detector.maps.grids[0] == (64, 64)


def test_the_map_is_half_of_each_map_between_its_quantiles():
    detector, images = make(), blobs(4, SIZE)
    fit(detector, images, steps=3)
    both = both_maps(detector, images)
    low, high = (row.view(1, 2, 1, 1) for row in detector.quantiles)
    assert bool((high > low).all())
    on_grid = (0.1 * (both - low) / (high - low)).mean(dim=1, keepdim=True)
    shown = score(detector, images)
    torch.testing.assert_close(shown.maps["distance"][..., ::4, ::4], on_grid, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shown.parts["distance"].values, shown.maps["distance"].flatten(1).amax(dim=1))


def test_the_quantiles_are_those_of_held_out_normals_and_else_of_training_normals():
    normal, held_out = blobs(6, SIZE), blobs(4, SIZE, seed=5)
    stages = {name: StageSettings(steps=2, batch_size=3) for name in ("teacher", "student")}
    for cohorts, source in (({}, normal), ({"validation": held_out}, held_out)):
        detector = make()
        train_on(detector, {"normal": normal, **cohorts}, stages)
        values = both_maps(detector.eval(), source).transpose(0, 1).flatten(1)
        for own, level in zip(detector.quantiles, (0.9, 0.995), strict=True):
            expected = values.quantile(level, dim=1, interpolation="nearest")
            torch.testing.assert_close(own, expected, rtol=1e-3, atol=1e-5)


def test_the_student_learns_by_the_hardest_distances_and_by_silence_on_auxiliary_images():
    detector, normal, auxiliary = make(light=0.0), Batch(blobs(3, SIZE)), Batch(blobs(3, SIZE, seed=4))
    with torch.no_grad():
        alone = detector.loss({"normal": normal}, torch.Generator().manual_seed(0))
        both = detector.loss({"normal": normal, "auxiliary": auxiliary}, torch.Generator().manual_seed(0))
        silent = detector.student(auxiliary.images).chunk(2, dim=1)[0].square().mean()
        first, second = detector.student(normal.images).chunk(2, dim=1)
        described = detector.teacher_standard(detector.teacher(normal.images))
        restored = detector.autoencoder(normal.images)
    assert set(both) - set(alone) == {"penalty"}
    torch.testing.assert_close(both["penalty"], silent)
    squares = (described - first).square().flatten().sort(descending=True).values
    torch.testing.assert_close(alone["hardest"], squares[: round(0.1 * len(squares))].mean())
    torch.testing.assert_close(alone["autoencoder"], (described - restored).square().mean())
    torch.testing.assert_close(alone["agreement"], (restored - second).square().mean())


def test_the_teacher_learns_the_encoders_standardised_channels_where_it_looks():
    detector, images = make(), blobs(6, SIZE)
    with torch.no_grad():
        (wanted,) = detector.wanted(images)
        assert wanted.shape == detector.teacher(images).shape
        detector.prepare_teacher(iter([{"normal": Batch(images)}]), torch.Generator())
        loss = detector.teacher_loss({"normal": Batch(images)}, torch.Generator())["distance"]
        expected = (detector.teacher(images) - detector.wanted_standard(wanted)).square().mean()
    torch.testing.assert_close(loss, expected)


def test_networks_learn_and_a_lesion_raises_the_map_where_it_lies():
    size = (64, 64)
    detector, images = make(size, width=8, descriptor=16), blobs(16, size)
    taught, learnt = fit(detector, images, steps=30, lr=3e-3).values()
    assert taught[-1] < taught[0]
    assert learnt[-1] < 0.7 * learnt[0]
    healthy, ill = (blobs(8, size, seed=9, lesion=lesion) for lesion in (False, True))
    before, after = (score(detector, own).maps["distance"].mean(dim=(0, 1)) for own in (healthy, ill))
    change = after - before
    assert float(change[24:45, 24:45].mean()) > 1.5 * float(change.mean()) > 0


def test_without_padding_what_no_patch_is_around_is_zero():
    detector, images = make(size=(48, 40), padding=False), blobs(3, (48, 40))
    fit(detector, images, steps=1)
    assert detector.grid == (4, 2)
    shown = score(detector, images).maps["distance"]
    assert shown.shape == (3, 1, 48, 40)
    assert float(shown[..., :12, :].abs().max()) == float(shown[..., :12].abs().max()) == 0
    assert float(shown[..., 16:28, 16:20].abs().min()) > 0


def test_padding_does_not_count():
    detector, images = make(), blobs(4, SIZE)
    fit(detector, images, steps=2)
    valid = torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., 20:] = False
    shown = score(detector, images).maps["distance"][..., :20].flatten(1)
    torch.testing.assert_close(score(detector, images, valid).parts["distance"].values, shown.amax(dim=1))
    kept = both_maps(detector, images)[..., :5].transpose(0, 1).flatten(1)
    torch.testing.assert_close(
        detector.values(Batch(images, valid)).sort(dim=1).values, kept.sort(dim=1).values
    )


def test_padding_of_auxiliary_images_is_no_part_of_the_penalty():
    detector, normal, auxiliary = make(), Batch(blobs(3, SIZE)), blobs(3, SIZE, seed=4)
    valid = torch.ones(3, 1, *SIZE, dtype=torch.bool)
    valid[..., 20:] = False
    foreign = Batch(auxiliary, valid)
    with torch.no_grad():
        both = detector.loss({"normal": normal, "auxiliary": foreign}, torch.Generator().manual_seed(0))
        silent = detector.student(auxiliary).chunk(2, dim=1)[0].square()
    torch.testing.assert_close(both["penalty"], silent[..., :5].mean())


def test_images_smaller_than_a_patch_are_refused_without_padding():
    with pytest.raises(ValueError, match="need images of 33 pixels or more along each axis, not 32"):
        make(padding=False)
