import numpy as np
import pytest
import torch
from in_memory import blobs
from torch.nn import functional

from secondread.detectors.contract import Batch, ScoringNoise
from secondread.detectors.features.mutual_scoring import MutualScoring, MutualScoringSettings
from secondread.errors import UserError
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe
from secondread.scoring.image_source import ArraySource
from secondread.scoring.scorer import Scorer
from secondread.training.loop import train

SIZE = (32, 32)


def make(**changes):
    form = MutualScoring.tiny(2)
    settings = MutualScoringSettings.model_validate({**form.settings.model_dump(), **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return MutualScoring(settings, form.channels, form.size)


def fit(detector, images, patients=None, valid=None):
    source = ArraySource(images.numpy(), valid, patients=patients)
    named = {"seed": 0, "device": "cpu", "precision": "float32", "progress": False}
    log = train(detector, {"unlabelled": source}, MutualScoring.tiny(2).stages, **named)
    return source, log


def scores(detector, source):
    found = list(Scorer(detector, precision="float32").set(source, batch_size=4, maps=False))
    return np.concatenate([one.parts["strangeness"] for one in found])


def noise(n):
    return ScoringNoise([torch.Generator() for _ in range(n)])


@pytest.mark.parametrize("standardise", ["map", "none"])
def test_the_score_is_the_equation_on_a_small_set(standardise):
    detector = make(
        strides=(8,), neighbourhoods=(1, 3), standardise=standardise, rescoring=1, smoothing=0,
        half_precision=False, image_score="mean",
    )  # fmt: skip
    images = blobs(7, SIZE)
    fit(detector, images[:6])
    found = detector.score(Batch(images[6:]), noise(1), maps=True)
    h = detector.maps(images)[0]
    if standardise == "map":
        h = functional.layer_norm(h, h.shape[1:])
    total = 0
    for side in (1, 3):
        x = h if side == 1 else functional.avg_pool2d(h, 3, 1, 1)  # zeros outside: the same direction
        x = functional.normalize(x.flatten(2).transpose(1, 2), dim=2)
        least = torch.cdist(x[6], x[:6]).amin(dim=2).T
        total = total + least.sort(dim=1).values[:, : int(0.3 * 6)].mean(dim=1) / 2
    shown = detector.maps.place(total.view(1, 1, *h.shape[2:]), 0)
    torch.testing.assert_close(found.maps["strangeness"], shown, atol=1e-3, rtol=0)
    torch.testing.assert_close(found.parts["strangeness"].values, shown.mean()[None], atol=1e-3, rtol=0)


def test_from_coarse_to_fine_with_every_cell_is_the_same_score():
    images = blobs(5, SIZE)
    found = []
    for more in ({}, {"coarse": 2, "matches": 99}, {"coarse": 2, "matches": 1}):
        detector = make(rescoring=1, half_precision=False, **more)
        fit(detector, images[:4])
        found.append(detector.score(Batch(images[4:]), noise(1), maps=True).maps["strangeness"])
    torch.testing.assert_close(found[1], found[0], atol=2e-3, rtol=0)
    assert (found[2] >= found[0] - 2e-3).all()


def test_an_image_of_the_reference_leaves_itself_and_its_patient_out():
    images = blobs(6, SIZE)
    patients = ["a", "a", "b", "b", "c", "d"]
    detector = make(rescoring=1)
    source, _ = fit(detector, images, patients)
    known = scores(detector, source)
    np.testing.assert_array_equal(detector.scores.numpy(), known.astype(np.float32))
    without = make(rescoring=1, standardise="none")
    fit(without, images, patients)
    others = make(rescoring=1, standardise="none")
    fit(others, images[2:], patients[2:])
    strangers = others.score(Batch(images[:1]), noise(1), maps=False).parts["strangeness"].values
    recognised = (
        without.score(Batch(images[:1], digests=(source.digests[0],)), noise(1), maps=False)
        .parts["strangeness"]
        .values
    )
    torch.testing.assert_close(recognised, strangers)
    unknown = without.score(Batch(images[:1]), noise(1), maps=False).parts["strangeness"].values
    assert unknown < recognised


def films(n, ill, seed):
    """Grey noise, with a bright square where `ill`."""
    images = 0.4 + 0.1 * torch.rand(n, 1, *SIZE, generator=torch.Generator().manual_seed(seed))
    images[:ill, :, 10:20, 10:20] += 0.4
    return images


def test_a_rare_finding_ranks_first_and_one_that_most_have_does_not():
    new = ArraySource(films(8, 4, seed=9).numpy())

    def lead(ill):
        detector = make(images=20, neighbourhoods=(1,), rescoring=1, standardise="channel")
        fit(detector, films(20, ill, seed=0))
        found = scores(detector, new)
        return found[:4].min() / found[4:].max()

    assert lead(2) > 1.5
    assert lead(18) < 1


def test_the_reference_is_bounded_and_its_patients_are_numbers():
    detector = make(images=5)
    _, log = fit(detector, blobs(12, SIZE), [f"patient {number // 2}" for number in range(12)])
    assert [len(level.patches) for level in detector.levels] == [5, 5]
    assert detector.patients.dtype == torch.long
    assert len(detector.numbers) == 0
    assert int(detector.seen) == 12
    assert "most patients have no finding" in log.notes[0]
    few = make(images=50, memory=1e-4)
    assert few.most < 50
    _, log = fit(few, blobs(30, SIZE))
    assert f"keeps {few.most} images" in log.notes[1]


def test_the_share_that_stands_out_is_estimated_without_a_label():
    detector = make(images=40, neighbourhoods=(1,), rescoring=1, standardise="channel")
    _, log = fit(detector, films(40, 6, seed=0))
    assert float(detector.anomaly_rate) == pytest.approx(0.15, abs=0.02)
    assert "an estimated 15" in log.notes[0]
    assert log.warnings == []


def test_a_share_that_stands_out_beyond_the_assumption_is_a_warning():
    detector = make()
    assert detector.warnings() == ()
    detector.anomaly_rate.fill_(0.45)
    assert "more than about 30" in detector.warnings()[0]
    detector.anomaly_rate.fill_(0.1)
    assert detector.warnings() == ()


def test_padding_is_no_patch_of_the_reference():
    images, valid = blobs(6, SIZE), np.ones((6, 1, *SIZE), bool)
    valid[:, :, :, 16:] = False
    detector = make(strides=(8,), standardise="none", neighbourhoods=(1,))
    fit(detector, images, valid=valid)
    assert not detector.levels[0].there.all()
    assert detector.levels[0].there.any(dim=1).all()


def test_thinning_keeps_some_positions_of_the_reference():
    whole, thin = make(strides=(8,)), make(strides=(8,), thinning=2)
    assert 0 < thin.levels[0].patches.shape[2] < whole.levels[0].patches.shape[2]


def test_too_little_memory_and_too_few_patients_are_one_line():
    with pytest.raises(ValueError, match=r"memory: 1e-06 GiB, and one image's patches .* raise memory"):
        make(memory=1e-6)
    with pytest.raises(UserError, match="images of at least 3 patients, and there are images of 2"):
        fit(make(), blobs(6, SIZE), ["a", "b"] * 3)
    with pytest.raises(ValueError, match="different odd numbers"):
        make(neighbourhoods=(2,))


def test_the_paper_preset_has_the_papers_layers_and_neighbourhoods():
    with torch.device("meta"):
        detector = build_detector(Recipe.load("mutual-scoring-paper"), pretrained=False)
    assert detector.maps.grids == ((37, 37),) * 4
    assert [level.patches.shape[1:] for level in detector.levels] == [(3, 37 * 37, 1024)] * 4
    assert detector.most == 200
    assert (detector.settings.share, detector.settings.rescoring) == (0.3, 3)
