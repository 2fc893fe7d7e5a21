"""The loop on kept copies: their features, two views, kill and resume."""

from dataclasses import replace

import pytest
import torch
from small_detectors import Autoencoder, AutoencoderSettings, build

from secondread.detectors.detector_settings import StageSettings
from secondread.errors import UserError
from secondread.training.loop import train

COPIES = StageSettings(epochs=3, batch_size=4, augment=("flip", "rotate", "shift", "intensity"), copies=2)


class TwoViews(Autoencoder):
    """Notes each batch of its training stage and how many images its teacher sees."""

    def __init__(self, *given, **named):
        super().__init__(*given, **named)
        self.batches = []
        self.encoded = 0

    def features(self, images):
        self.encoded += len(images)
        return super().features(images)

    def stages(self):
        for stage in super().stages():
            yield replace(stage, views=2)

    def collect(self, batches):
        assert batches["normal"].others == ()
        super().collect(batches)

    def loss(self, batches, generator):
        batch = batches["normal"]
        if self.training:
            self.batches.append(batch)
        else:
            assert batch.others == ()
        terms = super().loss(batches, generator)
        if batch.others and batch.others[0].features is not None:
            codes = [self.encoder(view.features[0]) for view in (batch, *batch.others)]
            terms["consistency"] = (codes[0] - codes[1]).square().mean()
        return terms


class Killed(BaseException):
    pass


def fit(detector, cohorts, stage, directory, **more):
    named = {"seed": 3, "progress": False, "precision": "float32", "device": "cpu", **more}
    return train(detector, cohorts, {"train": stage}, directory=directory, **named)


def frozen(**more) -> TwoViews:
    return build(AutoencoderSettings(frozen_teacher=True, **more), kind=TwoViews)


def test_the_features_given_are_those_of_the_images_given(cohorts, tmp_path):
    detector = frozen()
    log = fit(detector, cohorts(), COPIES, tmp_path)
    assert len(detector.batches) == 9
    for batch in detector.batches:
        assert not torch.equal(batch.images, batch.others[0].images)
        for view in (batch, *batch.others):
            expected = detector.teacher(view.images)
            torch.testing.assert_close(view.features[0], expected, rtol=2e-3, atol=2e-3)
    assert "consistency" in log.stages[-1].epochs[0].losses


def test_the_features_of_all_forms_are_computed_once_and_found_again(cohorts, tmp_path):
    detector, again = frozen(), frozen()
    fit(detector, cohorts(normal=10, validation=4), COPIES, tmp_path)
    assert detector.encoded == 10 * 3 + 4 + 2
    fit(again, cohorts(normal=10, validation=4), COPIES, tmp_path)
    assert again.encoded == 0
    assert all(torch.equal(again.state_dict()[name], t) for name, t in detector.state_dict().items())


def test_features_of_other_changes_or_another_seed_are_not_taken(cohorts, tmp_path):
    keys = set()
    for stage, seed in [
        (COPIES, 3),
        (COPIES, 4),
        (COPIES.model_copy(update={"copies": 1}), 3),
        (COPIES.model_copy(update={"augment": ("flip",)}), 3),
        (COPIES.model_copy(update={"augment": (), "copies": None}), 3),
    ]:
        fit(frozen(), cohorts(), stage.model_copy(update={"epochs": 1}), tmp_path, seed=seed)
        keys |= {path.name for path in (tmp_path / "features").glob("*-normal")}
    assert len(keys) == 5


@pytest.mark.parametrize("after", [1, 4, 8])
def test_a_killed_fit_on_copies_resumes_to_the_result_of_an_uninterrupted_one(cohorts, tmp_path, after):
    whole, cut, resumed = (frozen(dropout=0.2, noise=0.1) for _ in range(3))
    fit(whole, cohorts(), COPIES, tmp_path / "whole", checkpoint_seconds=0.0)
    rounds = iter(range(after))

    def kill(stage, epoch, number):
        if next(rounds, None) is None:
            raise Killed

    with pytest.raises(Killed):
        fit(cut, cohorts(), COPIES, tmp_path / "cut", checkpoint_seconds=0.0, after_round=kill)
    fit(resumed, cohorts(), COPIES, tmp_path / "cut", checkpoint_seconds=0.0, resume=True)
    assert resumed.encoded == 0
    assert all(torch.equal(resumed.state_dict()[name], t) for name, t in whole.state_dict().items())


def test_changes_drawn_anew_give_two_views_without_features(cohorts, tmp_path):
    detector = frozen()
    fit(detector, cohorts(), COPIES.model_copy(update={"copies": None}), tmp_path)
    for batch in detector.batches:
        assert batch.features is None
        assert batch.others[0].features is None
        assert not torch.equal(batch.images, batch.others[0].images)


def test_more_views_than_forms_are_refused_with_the_copies_they_need(cohorts, tmp_path):
    class FourViews(TwoViews):
        def stages(self):
            for stage in super().stages():
                yield replace(stage, views=4)

    with pytest.raises(UserError, match=r"copies is 2, and the stage sees each image in 4 views.*at least 3"):
        fit(build(AutoencoderSettings(), kind=FourViews), cohorts(), COPIES, tmp_path)


def test_a_stage_without_augment_gets_no_other_view(cohorts, tmp_path):
    detector = frozen()
    fit(detector, cohorts(), StageSettings(epochs=1, batch_size=4), tmp_path)
    assert detector.batches
    assert all(batch.others == () and batch.features is not None for batch in detector.batches)


def test_a_stage_without_a_frozen_part_draws_among_the_same_few_forms(cohorts, tmp_path):
    detector = build(AutoencoderSettings(), kind=TwoViews)
    stage = COPIES.model_copy(update={"epochs": 12, "batch_size": 3, "copies": 1})
    sources = cohorts(normal=3)
    fit(detector, sources, stage, tmp_path)
    seen = {image.numpy().tobytes() for batch in detector.batches for image in batch.images}
    assert len(seen) == 6
    assert {image.tobytes() for image in sources["normal"].images} < seen
    assert not (tmp_path / "features").exists()
