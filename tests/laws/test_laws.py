"""What every detector must obey, on each rank that it takes."""

import re
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from _pytest.mark import ParameterSet
from graph_in_onnxruntime import GraphInOnnxruntime
from observed_fit import Observed, observe
from PIL import Image
from safetensors.torch import load, save
from tiny_fits import CASES, STUBS, CutOff, Killed, find, fit, scores_of

from secondread.bundles.fitted import plan_fitted
from secondread.bundles.tensors import form_of
from secondread.calibration.calibration import Calibration
from secondread.calibration.raw_scores import RawScores
from secondread.detectors.contract import Detector
from secondread.errors import UserError
from secondread.exporting.agreement import agreement
from secondread.exporting.graph import export_detector
from secondread.networks.precision import MOST_DRIFT
from secondread.preprocessing.prepared_set import PreparedSet
from secondread.scoring.precision_drift import scoring_precision
from secondread.scoring.scorer import Scorer

FAMILIES = {"aeflow", "cutpaste", "padim", "stfpm", "vae"}
"""One detector of each kind, of those that are fitted in a moment."""


def cases(quick: Callable[[str], bool], precision: str = "") -> list[ParameterSet]:
    """Every detector on each rank, after a precision where one is given: `slow` where another stays that asks
    the same."""
    found = []
    for name, rank in CASES:
        stays = quick(name) and not (rank == 3 and (name, 2) in CASES)
        given, before = ((precision,), f"{precision}-") if precision else ((), "")
        marks = [] if stays else [pytest.mark.slow]
        found.append(pytest.param(*given, name, rank, id=f"{before}{name}-{rank}d", marks=marks))
    return found


def in_turn(name: str) -> bool:
    return name in FAMILIES or name in STUBS


every_detector = pytest.mark.parametrize(("name", "rank"), cases(lambda name: True))
"""In three dimensions they are slow tests, where the detector has two as well."""
every_detector_in_turn = pytest.mark.parametrize(("name", "rank"), cases(in_turn))
"""Laws that fit a detector anew or write its graph, and those in which its own code has seldom a part: quick
for the stubs and one detector of each kind; in bfloat16 others too."""
every_detector_and_in_turn_in_bf16 = pytest.mark.parametrize(
    ("precision", "name", "rank"), [*cases(lambda name: True, "float32"), *cases(in_turn, "bf16")]
)
in_turn_in_each_precision = pytest.mark.parametrize(
    ("precision", "name", "rank"), [*cases(in_turn, "float32"), *cases(in_turn, "bf16")]
)
pictures_in_turn = pytest.mark.parametrize(
    ("name", "rank"), [case for case in cases(in_turn) if case.values[1] == 2]
)
SINGLE_PRECISION = 2e-6
"""What a difference of two numbers near 1 may be off by, where hardly trained forms give equal scores."""
KILLED_AFTER = (0, 1, 3, 5, 8)
"""Batches of normals that each process of a fit reads before it is killed."""


def assert_equal(one: RawScores, other: RawScores) -> None:
    for name, values in one.parts.items():
        np.testing.assert_array_equal(values, other.parts[name], err_msg=name)
    for name, values in (one.maps or {}).items():
        np.testing.assert_array_equal(values, other.maps[name], err_msg=name)


def unfitted(name: str, rank: int) -> Detector:
    tiny = find(name).tiny(rank)
    return find(name)(tiny.settings, tiny.channels, tiny.size, pretrained=False)


@pytest.fixture(scope="module")
def fitted(data) -> Callable[[str, int], Detector]:
    @cache
    def of(name: str, rank: int) -> Detector:
        return fit(name, rank, data(name, rank))

    return of


@pytest.fixture(scope="module")
def scores(data, fitted) -> Callable[..., RawScores]:
    """The raw scores of new images by the fitted detector."""

    @cache
    def of(name: str, rank: int, precision: str = "float32") -> RawScores:
        return scores_of(fitted(name, rank), data(name, rank)["new"], precision)

    return of


@pytest.fixture(scope="module")
def observed(data) -> Callable[[str, int], Observed]:
    @cache
    def of(name: str, rank: int) -> Observed:
        return observe(name, rank, data(name, rank))

    return of


@every_detector
def test_0_a_tiny_form_is_small_trains_all_its_stages_and_scores_each_image(name, rank, data, fitted, scores):
    form, detector = find(name).tiny(rank), fitted(name, rank)
    assert max(form.size) <= 32
    assert {stage.section for stage in detector.stages()} == set(form.stages)
    raw = scores(name, rank)
    assert all(values.shape == (len(data(name, rank)["new"]),) for values in raw.parts.values())


@every_detector_and_in_turn_in_bf16
def test_1_a_score_is_the_same_bits_in_any_batch(name, rank, precision, data, fitted):
    source, scorer = data(name, rank)["new"], Scorer(fitted(name, rank), precision=precision)
    rows = list(range(len(source)))
    images, whole = source.batch(rows)
    assert whole is None
    padded = np.ones((len(rows), 1, *images.shape[2:]), bool)
    padded[1, ..., :2] = False  # one image with padding among others without

    def together(order: list[int], valid: np.ndarray | None) -> RawScores:
        own = None if valid is None or valid[order].all() else valid[order]
        return scorer.batch(images[order], own, [source.digests[row] for row in order])

    expected, among_others = together(rows, whole), together(rows, padded)
    without = [rows[0], *rows[2:]]
    assert_equal(among_others.select(without), expected.select(without))
    for order in ([rows[-1]], [1], rows[::-1], [rows[-1], *rows[:2]], rows[2:]):
        assert_equal(together(order, padded), among_others.select(order))
    for order in ([1], [rows[-1], *rows[1::-1]]):
        assert_equal(together(order, whole), expected.select(order))


@every_detector_in_turn
def test_2_one_seed_fits_equal_scores_even_where_the_fit_is_observed(name, rank, scores, observed):
    assert_equal(observed(name, rank).scores, scores(name, rank))


@pictures_in_turn
def test_2_it_can_be_fitted_in_bfloat16(name, rank, data):
    """Pictures alone: on some processors oneDNN's gradient of a three-dimensional convolution in bfloat16
    reads memory that nobody wrote, where volumes are a few voxels wide."""
    detector = fit(name, rank, data(name, rank), precision="bf16")
    assert scores_of(detector, data(name, rank)["new"], "bf16").finite.all()


@in_turn_in_each_precision
def test_2_saved_and_loaded_scores_are_equal(precision, name, rank, data, fitted, scores):
    state = load(save({key: tensor.contiguous() for key, tensor in fitted(name, rank).state_dict().items()}))
    with torch.random.fork_rng():
        torch.manual_seed(99)
        loaded = unfitted(name, rank).load_fitted(state)
    found = scores_of(loaded, data(name, rank)["new"], precision)
    assert_equal(found, scores(name, rank, precision))


@every_detector
def test_2_the_whole_fitted_state_has_the_forms_that_a_bundle_is_checked_for(name, rank, fitted):
    detector = fitted(name, rank)
    state = detector.state_dict()
    plan_fitted(partial(unfitted, name, rank), {key: form_of(tensor) for key, tensor in state.items()})
    rows = {key for key, axes in detector.grows.items() if len(axes) > 1 and str(axes[0]).endswith("n")}
    told = {key for key in rows if not key.endswith(("there", "distances_fit_X_"))}
    assert told <= detector.keeps.keys() <= state.keys()


@every_detector_in_turn
def test_3_a_fit_killed_again_and_again_resumes_to_the_scores_of_an_uninterrupted_one(
    name, rank, data, scores, tmp_path
):
    """Each process goes on from where the one before was killed: at the first batch, soon after, and late."""
    whole = data(name, rank)
    for batches in KILLED_AFTER:
        cut = {**whole, "normal": CutOff(whole["normal"], batches)}
        try:
            fit(name, rank, cut, tmp_path, resume=True)
        except Killed:
            continue
        break  # there were no more batches to read
    resumed = fit(name, rank, whole, tmp_path, resume=True)
    assert_equal(scores_of(resumed, whole["new"]), scores(name, rank))


@every_detector
def test_4_maps_are_finite_and_lie_on_the_images_grid(name, rank, data, fitted, scores):
    source, detector = data(name, rank)["new"], fitted(name, rank)
    raw = scores(name, rank)
    assert set(detector.mixture().weights) <= set(raw.parts)
    mixture = detector.map_mixture()
    if mixture is None:
        assert raw.maps is None
        return
    assert raw.maps is not None
    assert set(mixture.weights) <= set(raw.maps)
    for values in raw.maps.values():
        assert values.shape == (len(source), *detector.size)
        assert np.isfinite(values).all()
        assert values.std() > 0


@every_detector_in_turn
def test_4_without_maps_there_are_none_and_the_parts_are_the_same_bits(name, rank, data, fitted, scores):
    bare = scores_of(fitted(name, rank), data(name, rank)["new"], maps=False)
    assert bare.maps is None
    assert bare.parts.keys() == scores(name, rank).parts.keys()
    assert_equal(bare, scores(name, rank))


@every_detector_in_turn
def test_4_a_map_comes_back_on_the_files_own_grid(name, rank, fitted, prepare, tmp_path):
    tiny, detector = find(name).tiny(rank), fitted(name, rank)
    if detector.map_mixture() is None:
        return
    size = tuple(n + 5 + 2 * axis for axis, n in enumerate(tiny.size))
    values = np.random.default_rng(1).integers(0, 256, size).astype(np.uint8)
    source = prepare([write(tmp_path / "larger", values)], tiny.channels, tuple(tiny.size))
    for found in (scores_of(detector, source).maps or {}).values():
        brought_back = source.preprocessing.to_file_grid(found[0], source.placements[0])
        assert brought_back.shape == size
        assert np.isfinite(brought_back).all()


def odd_images(size: tuple[int, ...]) -> dict[str, np.ndarray]:
    """Arrays as scanners and converters leave them."""
    spike, object_ = np.zeros(size, np.uint16), np.zeros(size, np.uint8)
    spike[tuple(n // 2 for n in size)] = 65535
    object_[tuple(slice(n // 2, n // 2 + 2) for n in size)] = 200
    return {
        "black": np.zeros(size, np.uint8),
        "grey": np.full(size, 128, np.uint8),
        "white": np.full(size, 65535, np.uint16),
        "spike": spike,
        "black background": object_,
        "16 bit": np.random.default_rng(0).integers(0, 65536, size).astype(np.uint16),
    }


def write(path: Path, values: np.ndarray) -> Path:
    if values.ndim == 2:
        path = path.with_suffix(".png")
        Image.fromarray(values).save(path)
        return path
    path = path.with_suffix(".nii.gz")
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(path)
    return path


@pytest.fixture(scope="module")
def odd(prepare, tmp_path_factory) -> Callable[[str, int], PreparedSet]:
    @cache
    def of(channels: int, size: tuple[int, ...]) -> PreparedSet:
        folder = tmp_path_factory.mktemp("odd")
        paths = [write(folder / key, values) for key, values in odd_images(size).items()]
        return prepare(paths, channels, size)

    def of_detector(name: str, rank: int) -> PreparedSet:
        tiny = find(name).tiny(rank)
        return of(tiny.channels, tuple(tiny.size))

    return of_detector


@in_turn_in_each_precision
def test_5_odd_images_get_finite_scores(name, rank, precision, fitted, odd):
    source = odd(name, rank)
    assert not source.errors
    raw = scores_of(fitted(name, rank), source, precision)
    assert raw.finite.all(), dict(zip(odd_images(source[0].pixels.shape[1:]), raw.finite, strict=True))
    assert all(np.isfinite(values).all() for values in (raw.maps or {}).values())


@every_detector_in_turn
def test_5_odd_normals_still_fit_to_finite_scores(name, rank, data, odd):
    whole = data(name, rank) | {"normal": odd(name, rank), "validation": odd(name, rank)}
    assert scores_of(fit(name, rank, whole), whole["new"]).finite.all()


@every_detector_in_turn
def test_6_what_a_stage_declares_is_what_it_trains(name, rank, observed):
    found = observed(name, rank)
    for stage, changed in found.changed_in.items():
        assert changed <= found.may_change[stage]
    assert found.trained == found.declared


@every_detector_in_turn
def test_7_each_stage_that_trains_can_be_measured_without_a_label(name, rank, observed):
    for stage in observed(name, rank).log.stages:
        for epoch in stage.epochs:
            assert set(epoch.measured) == {"synthetic", "unlabelled"}
            assert all(value is not None for value in epoch.measured.values())


@every_detector_in_turn
def test_8_as_a_graph_it_gives_the_same_scores_or_says_why_it_is_none(name, rank, data, fitted, tmp_path):
    detector, source = fitted(name, rank), data(name, rank)["new"]
    if reason := detector.why_no_graph():
        with pytest.raises(UserError, match=re.escape(reason)):
            export_detector(detector, tmp_path)
        assert list(tmp_path.iterdir()) == []
        return
    facts = export_detector(detector, tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == list(facts.files)
    graph, scorer = GraphInOnnxruntime(tmp_path, facts), Scorer(detector, precision="float32")
    images, _ = source.batch(range(len(source)))
    padded = np.ones((len(source), 1, *detector.size), bool)
    padded[1, ..., :2] = False  # one image with padding, as a whole one is asked for as `None`
    said = scorer.batch(images, padded, source.digests)
    written = graph.batch(images, padded, source.digests)
    assert written.tails == said.tails
    normals = scores_of(detector, data(name, rank)["validation"])
    calibration = Calibration.fit(normals, normals, mixture=detector.mixture())
    ask = partial(scorer.batch, maps=False)
    found = agreement(ask, graph.batch, calibration, images, padded, source.digests)
    assert found.difference <= max(found.permitted, SINGLE_PRECISION), found
    assert (said.maps or {}).keys() == (written.maps or {}).keys()
    for key, values in (said.maps or {}).items():
        step = max(1e-3 * float(values.std()), SINGLE_PRECISION)
        np.testing.assert_allclose(written.maps[key], values, rtol=1e-4, atol=step, err_msg=key)


@every_detector_in_turn
@pytest.mark.usefixtures("fast_in_bf16")
def test_9_on_a_processor_fast_in_bf16_no_part_moves_by_more_than_the_bar(name, rank, data, fitted):
    detector, normals = fitted(name, rank), data(name, rank)["normal"]
    chosen = scoring_precision(detector, "auto", normals, device="cpu")
    assert (chosen.precision == "float32") == bool(chosen.notes)
    if chosen.precision == "float32":
        return
    half, full = (scores_of(detector, normals, precision, maps=False) for precision in ("bf16", "float32"))
    for part, tail in full.tails.items():
        one, other = half.parts[part], full.parts[part]
        if tail != "upper":  # such a part is ranked by its distance from the median
            one, other = (abs(values - np.median(full.parts[part])) for values in (one, other))
        assert np.sqrt(np.mean((one - other) ** 2)) <= MOST_DRIFT * other.std()
