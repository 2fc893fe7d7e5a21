"""What every detector must obey, on each rank that it takes."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load, save
from stub_detectors import STUBS as PLAIN
from stub_masks import MASKED

from secondread import detectors
from secondread.calibration.raw_scores import RawScores, concatenate
from secondread.detectors.contract import Detector, Stage
from secondread.scoring.image_source import ImageSource
from secondread.scoring.scorer import Scorer
from secondread.training.log import TrainingLog
from secondread.training.loop import train
from secondread.training.optimisers import step_parameters

STUBS = {**PLAIN, **MASKED}


def find(name: str) -> type[Detector]:
    return STUBS[name] if name in STUBS else detectors.find(name)


CASES = [(name, rank) for name in [*detectors.DETECTORS, *STUBS] for rank in sorted(find(name).ranks)]
every_detector = pytest.mark.parametrize(("name", "rank"), CASES, ids=[f"{n}-{r}d" for n, r in CASES])

Cohorts = Mapping[str, ImageSource]


class Killed(BaseException):
    """Stands for the process's end."""


@dataclass
class CutOff:
    """A source that is not there any more after a number of batches."""

    source: ImageSource
    batches_left: int

    @property
    def digests(self):
        return self.source.digests

    @property
    def target_digests(self):
        return self.source.target_digests

    def targets(self, indices):
        return self.source.targets(indices)

    def __len__(self) -> int:
        return len(self.source)

    def batch(self, indices):
        if self.batches_left == 0:
            raise Killed
        self.batches_left -= 1
        return self.source.batch(indices)


def build(name: str, rank: int) -> Detector:
    tiny = find(name).tiny(rank)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return find(name)(tiny.settings, tiny.channels, tiny.size)


def fit(detector: Detector, rank: int, cohorts: Cohorts, directory: Path, **more) -> Detector:
    more = {"precision": "float32", "checkpoint_seconds": 0.0, **more}
    train(
        detector, cohorts, type(detector).tiny(rank).stages,
        seed=7, directory=directory, device="cpu", progress=False, **more,
    )  # fmt: skip
    return detector


def scores_of(detector: Detector, source: ImageSource, precision: str = "float32") -> RawScores:
    return concatenate(list(Scorer(detector, precision=precision).set(source, batch_size=4)))


def assert_equal(one: RawScores, other: RawScores) -> None:
    for name, values in one.parts.items():
        np.testing.assert_array_equal(values, other.parts[name], err_msg=name)
    for name, values in (one.maps or {}).items():
        np.testing.assert_array_equal(values, other.maps[name], err_msg=name)


@pytest.fixture(scope="module")
def data(cohorts) -> Callable[[str, int], Cohorts]:
    def of(name: str, rank: int) -> Cohorts:
        tiny = find(name).tiny(rank)
        return cohorts(tiny.channels, tuple(tiny.size))

    return of


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory) -> Callable[[str, int], Detector]:
    @cache
    def of(name: str, rank: int) -> Detector:
        return fit(build(name, rank), rank, data(name, rank), tmp_path_factory.mktemp("fit"))

    return of


def may_change(detector: Detector, stage: Stage) -> set[str]:
    """The names of what the steps and hooks of a stage may change: the parameters that its steps train, the
    buffers of the modules that hold them, and what the stage says that it keeps."""
    trained = {id(parameter) for step in stage.steps for parameter in step_parameters(step)}
    parts = [part for step in stage.steps for part in step.trains if not isinstance(part, torch.nn.Parameter)]
    parts += stage.drifts
    inside = {id(module) for part in parts for module in part.modules()}
    allowed = {name for name, parameter in detector.named_parameters() if id(parameter) in trained}
    for name, module in detector.named_modules():
        if id(module) in inside:
            allowed |= {f"{name}.{buffer}" for buffer, _ in module.named_buffers(recurse=False)}
    kept = tuple(stage.keeps)
    return allowed | {
        name
        for name, _ in detector.named_buffers()
        if name in kept or name.startswith(tuple(f"{k}." for k in kept))
    }


def tensors(detector: Detector) -> dict[str, torch.Tensor]:
    named = [*detector.named_parameters(), *detector.named_buffers()]
    return {name: tensor.detach().clone() for name, tensor in named}


def changes(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    """The names of the tensors that are not the same, nan being the same as nan."""
    return {
        key for key in after if not np.array_equal(before[key].numpy(), after[key].numpy(), equal_nan=True)
    }


@dataclass
class Observed:
    """What was seen of a fit whose epochs are measured without a label: the names of the parameters that its
    steps declare and of those that changed; of the tensors that changed from round to round of a stage and of
    those that may; its log; and the scores of new images."""

    declared: set[str]
    trained: set[str]
    changed_in: dict[str, set[str]]
    may_change: dict[str, set[str]]
    log: TrainingLog
    scores: RawScores


def observe(name: str, rank: int, cohorts: Cohorts, directory: Path) -> Observed:
    detector = build(name, rank)
    stages = {stage.name: stage for stage in detector.stages()}
    names = {id(parameter): key for key, parameter in detector.named_parameters()}
    steps = [step for stage in stages.values() for step in stage.steps]
    start = tensors(detector)
    last = ("", start)
    changed_in: dict[str, set[str]] = {stage: set() for stage in stages}

    def note(stage: str, epoch: int, number: int) -> None:
        nonlocal last
        now = tensors(detector)
        if stage == last[0]:
            changed_in[stage] |= changes(last[1], now)
        last = (stage, now)

    watching = {
        stage: settings.model_copy(update={"watch": ("synthetic", "unlabelled")})
        for stage, settings in type(detector).tiny(rank).stages.items()
    }
    log = train(
        detector, cohorts, watching, seed=7, directory=directory, device="cpu", progress=False,
        precision="float32", after_round=note,
    )  # fmt: skip
    return Observed(
        declared={names[id(parameter)] for step in steps for parameter in step_parameters(step)},
        trained=changes(start, tensors(detector)) & set(names.values()),
        changed_in=changed_in,
        may_change={stage: may_change(detector, stages[stage]) for stage in stages},
        log=log,
        scores=scores_of(detector, cohorts["new"]),
    )


@pytest.fixture(scope="module")
def observed(data, tmp_path_factory) -> Callable[[str, int], Observed]:
    @cache
    def of(name: str, rank: int) -> Observed:
        return observe(name, rank, data(name, rank), tmp_path_factory.mktemp("observed"))

    return of


@every_detector
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_1_a_score_is_the_same_bits_in_any_batch(name, rank, precision, data, fitted):
    source, detector = data(name, rank)["new"], fitted(name, rank)
    rows = list(range(len(source)))
    images, valid = source.batch(rows)
    half = np.ones((len(rows), 1, *images.shape[2:]), bool)
    half[1, ..., :2] = False  # one image with padding among others without
    for given in (valid, half):
        together = Scorer(detector, precision=precision).batch(images, given, source.digests)
        for order in ([rows[-1]], [1], rows[::-1], [rows[-1], *rows[:2]], rows[2:]):
            digests = [source.digests[row] for row in order]
            own = None if given is None or given[order].all() else given[order]
            found = Scorer(detector, precision=precision).batch(images[order], own, digests)
            assert_equal(found, together.select(order))


@every_detector
def test_2_one_seed_fits_equal_scores_even_where_the_fit_is_observed(name, rank, data, fitted, observed):
    expected = scores_of(fitted(name, rank), data(name, rank)["new"])
    assert_equal(observed(name, rank).scores, expected)


@every_detector
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_2_saved_and_loaded_scores_are_equal(name, rank, precision, data, fitted):
    source, detector = data(name, rank)["new"], fitted(name, rank)
    expected = scores_of(detector, source, precision)
    state = load(save({key: tensor.contiguous() for key, tensor in detector.state_dict().items()}))
    tiny = find(name).tiny(rank)
    loaded = find(name)(tiny.settings, tiny.channels, tiny.size, pretrained=False).load_fitted(state)
    assert_equal(scores_of(loaded, source, precision), expected)


@every_detector
@pytest.mark.parametrize("killed_after", [(0, 1, 3, 5), (8, 11)], ids=["early", "late"])
def test_3_a_killed_fit_resumes_to_the_scores_of_an_uninterrupted_one(
    name, rank, killed_after, data, fitted, tmp_path
):
    """Each process goes on from where the one before was killed, and is killed after so many batches."""
    whole = data(name, rank)
    for batches in killed_after:
        cut = {**whole, "normal": CutOff(whole["normal"], batches)}
        with suppress(Killed):
            fit(build(name, rank), rank, cut, tmp_path, resume=True)
    resumed = fit(build(name, rank), rank, whole, tmp_path, resume=True)
    assert_equal(scores_of(resumed, whole["new"]), scores_of(fitted(name, rank), whole["new"]))


@every_detector
def test_4_maps_are_finite_and_lie_on_the_images_grid(name, rank, data, fitted):
    source, detector = data(name, rank)["new"], fitted(name, rank)
    raw = scores_of(detector, source)
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


@every_detector
def test_4_without_maps_there_are_none_and_the_parts_are_the_same_bits(name, rank, data, fitted):
    source, detector = data(name, rank)["new"], fitted(name, rank)
    bare = concatenate(list(Scorer(detector, precision="float32").set(source, batch_size=4, maps=False)))
    assert bare.maps is None
    assert bare.parts.keys() == scores_of(detector, source).parts.keys()
    assert_equal(bare, scores_of(detector, source))


@every_detector
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


@every_detector
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_5_odd_images_get_finite_scores(name, rank, precision, fitted, prepare, tmp_path):
    tiny = find(name).tiny(rank)
    paths = [write(tmp_path / key, values) for key, values in odd_images(tuple(tiny.size)).items()]
    source = prepare(paths, tiny.channels, tuple(tiny.size))
    assert not source.errors
    raw = scores_of(fitted(name, rank), source, precision)
    assert raw.finite.all(), dict(zip(odd_images(tuple(tiny.size)), raw.finite, strict=True))
    assert all(np.isfinite(values).all() for values in (raw.maps or {}).values())


@every_detector
def test_5_odd_normals_still_fit_to_finite_scores(name, rank, data, prepare, tmp_path):
    tiny = find(name).tiny(rank)
    paths = [write(tmp_path / key, values) for key, values in odd_images(tuple(tiny.size)).items()]
    odd = prepare(paths, tiny.channels, tuple(tiny.size))
    whole = {**data(name, rank), "normal": odd, "validation": odd}
    detector = fit(build(name, rank), rank, whole, tmp_path / "fit")
    assert scores_of(detector, data(name, rank)["new"]).finite.all()


@every_detector
def test_6_what_a_stage_declares_is_what_it_trains(name, rank, observed):
    found = observed(name, rank)
    for stage, changed in found.changed_in.items():
        assert changed <= found.may_change[stage]
    assert found.trained == found.declared


@every_detector
def test_7_each_stage_that_trains_can_be_measured_without_a_label(name, rank, observed):
    for stage in observed(name, rank).log.stages:
        for epoch in stage.epochs:
            assert set(epoch.measured) == {"synthetic", "unlabelled"}
            assert all(value is not None for value in epoch.measured.values())
