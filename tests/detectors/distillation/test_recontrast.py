import pytest
import torch
from in_memory import blobs, score, train_on

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.distillation.recontrast import ReContrast, ReContrastSettings
from secondread.networks.distillation.cosine import cosine_distance, cosine_distance_map
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe


def make(pretrained=True, **changes):
    form = ReContrast.tiny(2)
    settings = ReContrastSettings.model_validate({**form.settings.model_dump(), **changes})
    return ReContrast(settings, form.channels, form.size, pretrained=pretrained)


def fit(detector, images, **stage):
    stage = {"steps": 3, "batch_size": 4, "optimiser": {"name": "adamw", "lr": 2e-3}, **stage}
    return train_on(detector, {"normal": images}, {"student": StageSettings.model_validate(stage)})


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("recontrast-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        heads = detector.student([torch.empty(2, *shape) for shape in
            ((256, 64, 64), (512, 32, 32), (1024, 16, 16))])  # fmt: skip
    assert [[tuple(x.shape[1:]) for x in head] for head in heads] == 2 * [
        [(256, 64, 64), (512, 32, 32), (1024, 16, 16)]
    ]
    stage, settings = recipe.stages["student"], detector.settings
    assert (stage.steps, stage.batch_size, stage.optimiser.name, stage.optimiser.lr) == (
        1000,
        32,
        "adamw",
        2e-3,
    )
    assert stage.optimiser.weight_decay == 1e-5
    assert stage.optimiser.lr * settings.encoder_pace == pytest.approx(1e-5)
    mining = settings.mining
    assert (mining.start, mining.end, mining.steps, mining.factor) == (-3, 1, 100, 0)
    assert settings.encoder.batch_norm == "eval"


def test_the_losses_are_crossed_and_halved():
    detector = make().eval()
    with torch.no_grad():
        for parameter in detector.trained.parameters():
            parameter.mul_(1.1)  # so that E is not F
        images = blobs(3, (32, 32))
        terms = detector.loss({"normal": Batch(images)}, torch.Generator())
        own, frozen = detector.trained(images), detector.maps(images)
        from_own, from_frozen = detector.student(own)[0], detector.student(frozen)[1]
    for name, targets, students in (("frozen", frozen, from_own), ("trained", own, from_frozen)):
        pairs = zip(targets, students, strict=True)
        expected = sum(cosine_distance(t, s, "flattened").mean() for t, s in pairs) / 2
        torch.testing.assert_close(terms[name], expected)


def test_the_encoder_learns_only_as_the_input_of_the_head_that_rebuilds_its_copy():
    detector = make().eval()  # in training the two halves also share batch statistics
    batch = {"normal": Batch(blobs(3, (32, 32)))}
    detector.trained.requires_grad_()
    weight = next(detector.trained.parameters())

    def gradient(term):
        weight.grad = None
        detector.loss(batch, torch.Generator())[term].backward()
        return weight.grad

    assert float(gradient("frozen").abs().sum()) > 0
    assert gradient("trained") is None or float(gradient("trained").abs().sum()) == 0


def test_the_score_is_the_highest_value_of_all_levels_of_both_pairs():
    detector = make(smoothing=0)
    images = blobs(2, (32, 32))
    fit(detector, images)
    with torch.no_grad():
        own, frozen = detector.trained(images), detector.maps(images)
        first, second = detector.student(own)[0], detector.student(frozen)[1]
        expected = 0
        for level in range(2):
            for target, rebuilt in ((frozen, first), (own, second)):
                distance = cosine_distance_map(target[level], rebuilt[level])
                expected = expected + detector.maps.place(distance, level)
    scores = score(detector, images)
    torch.testing.assert_close(scores.maps["distance"], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(
        scores.parts["distance"].values, scores.maps["distance"].flatten(1).amax(dim=1)
    )


def test_the_trained_encoder_moves_at_its_pace_and_the_frozen_one_stays():
    detector = make()
    before = {name: t.clone() for name, t in detector.trained.state_dict().items()}
    student = detector.student.bottleneck.stage[0].layers[0].weight.detach().clone()
    fit(detector, blobs(8, (32, 32)), steps=1)
    for name, tensor in detector.maps.encoder.state_dict().items():
        assert torch.equal(tensor, before[name])
    moved = {n: (t - before[n]).abs().max() for n, t in detector.trained.named_parameters()}
    # the first step of Adam is the learning rate
    assert float(max(moved.values())) == pytest.approx(1e-5, rel=0.05)
    change = (detector.student.bottleneck.stage[0].layers[0].weight - student).abs().max()
    assert change.item() == pytest.approx(2e-3, rel=0.05)
    for name, tensor in detector.trained.named_buffers():
        assert torch.equal(tensor, before[name])  # batch statistics


def test_a_bundles_state_holds_the_trained_encoder_and_reads_no_weights(monkeypatch):
    detector = make()
    fit(detector, blobs(8, (32, 32)))
    monkeypatch.delenv("SECONDREAD_WEIGHTS", raising=False)
    again = make(pretrained=False)
    again.load_fitted(detector.state_dict()).eval()
    images = blobs(2, (32, 32))
    torch.testing.assert_close(
        score(again, images).parts["distance"].values, score(detector, images).parts["distance"].values
    )


def test_spreads_stand_in_the_log_and_a_collapse_is_warned_of():
    detector = make()
    log = fit(detector, blobs(8, (32, 32)))
    assert log.warnings == []
    assert set(log.stages[0].figures) == {f"spread of level {level} at the start" for level in (1, 2)}
    assert all(0 < value <= 1 for value in log.stages[0].figures.values())
    detector.spreads[0, 1] = 0.01 * detector.spreads[1, 1]
    (warning,) = detector.warnings()
    assert warning.startswith("level 2 of the trained encoder has nearly collapsed: its spread is ")
