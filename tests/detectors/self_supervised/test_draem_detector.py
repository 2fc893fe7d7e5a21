import pytest
import torch
from in_memory import blobs, train_on
from torch.nn import functional

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.self_supervised.draem import Draem, DraemDetectorSettings
from secondread.errors import UserError
from secondread.networks.structural_similarity import structural_similarity
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (16, 16)


def make(size=SIZE, channels=1, **changes):
    form = Draem.tiny(2)
    settings = DraemDetectorSettings.model_validate({**form.settings.model_dump(), **changes})
    return Draem(settings, channels, size).eval()


def seeded():
    return torch.Generator().manual_seed(3)


def test_the_loss_is_squared_error_structure_and_focal_loss_against_the_clean_image():
    detector, x = make(structure=0.5), blobs(4, SIZE)
    valid = torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., :3] = False
    batch = Batch(x, valid)
    made = detector.drawn(batch, seeded())
    assert made.changed.any()
    assert not made.changed.all()
    rebuilt, logits = detector.network(made.images)
    losses = detector.loss({"normal": batch}, seeded())
    torch.testing.assert_close(losses["squares"], (rebuilt - x).square()[valid].mean())
    similarity = structural_similarity(rebuilt, x, valid).mean()
    torch.testing.assert_close(losses["structure"], 0.5 * (1 - similarity))
    p = logits.softmax(dim=1).gather(1, made.mask.long()).clamp(1e-5)
    focal = -((1 - p) ** 2) * p.log()
    torch.testing.assert_close(losses["segmentation"], focal[valid].mean(), rtol=1e-3, atol=1e-5)
    assert "structure" not in make(structure=0).loss({"normal": batch}, seeded())


def test_the_score_is_the_highest_mean_of_the_map_over_the_window():
    detector = make(window=5)
    x = blobs(3, SIZE, lesion=True)
    scores = detector.score(Batch(x), None, maps=True)
    shown = scores.maps["anomaly"]
    rebuilt, logits = detector.network(x)
    torch.testing.assert_close(shown, logits.softmax(dim=1)[:, 1:])
    torch.testing.assert_close(logits, detector.network.segmentation(torch.cat((rebuilt, x), dim=1)))
    padded = functional.pad(shown, (2, 2, 2, 2))
    means = padded.unfold(2, 5, 1).unfold(3, 5, 1).mean(dim=(-1, -2))
    torch.testing.assert_close(scores.parts["anomaly"].values, means.flatten(1).amax(dim=1))


def test_textures_come_from_auxiliary_images_in_training_and_are_drawn_for_held_out_normals():
    detector = make(anomalies={"name": "draem", "share": 1.0, "beta": (0, 0), "changes": 0})
    x, bright = Batch(blobs(4, SIZE)), Batch(torch.full((4, 1, *SIZE), 2.0) + blobs(4, SIZE))
    seen = []
    detector.network.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    batches = {"normal": x, "auxiliary": bright}
    detector.loss(batches, seeded())
    detector.train().loss(batches, seeded())
    held_out, training = seen
    assert float(held_out.max()) <= 1
    assert bool((training.flatten(1).amax(dim=1) > 2).all())


@pytest.mark.parametrize("auxiliary", [False, True])
def test_it_trains_with_auxiliary_images_and_without(auxiliary):
    detector = make()
    cohorts = {"normal": blobs(8, SIZE)}
    if auxiliary:
        cohorts["auxiliary"] = blobs(6, SIZE, seed=1)
    sizes = []
    loss = detector.loss
    detector.loss = lambda batches, g: (sizes.append([len(b) for b in batches.values()]), loss(batches, g))[1]
    train_on(detector, cohorts, Draem.tiny(2).stages)
    assert {tuple(size) for size in sizes} == ({(2, 2)} if auxiliary else {(4,)})


def test_it_learns_what_is_drawn():
    blobs_drawn = {"name": "blobs", "share": 0.7, "contrast": (2, 3)}
    detector = make(width=8, segmentation_width=8, prior=0.05, anomalies=blobs_drawn)
    fast = StageSettings(steps=40, batch_size=16, optimiser={"name": "adam", "lr": 1e-2})
    train_on(detector, {"normal": blobs(64, SIZE)}, {"segmentation": fast})
    after = detector.examine(iter([Batch(blobs(12, SIZE, seed=5))]), seeded())
    assert after["AUROC of drawn anomalies"] > 0.65


def test_a_prior_is_what_the_untrained_network_gives_about_everywhere():
    torch.manual_seed(0)
    found = make(prior=0.02).anomaly_map(blobs(2, SIZE))
    torch.testing.assert_close(found, torch.full_like(found, 0.02), atol=0.005, rtol=0)


def test_one_image_and_sizes_that_do_not_fit_are_refused():
    with pytest.raises(UserError, match="at least two images"):
        make().train().loss({"normal": Batch(blobs(1, SIZE))}, seeded())
    with pytest.raises(ValueError, match=r"multiples of 32, not \(48, 64\); lower poolings"):
        make(size=(48, 64), poolings=5)


def test_the_paper_preset_has_the_papers_networks():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("draem-paper"), pretrained=False)
    parts = {
        name: sum(p.numel() for p in part.parameters()) for name, part in detector.network.named_children()
    }
    assert parts == {"reconstruction": 69_043_969, "segmentation": 28_371_842}
