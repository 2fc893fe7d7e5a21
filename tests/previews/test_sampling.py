import csv
import io
import json
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image as Picture
from pixel_gaussian import NAME, PLACE, fit_gaussian

from secondread.bundles.bundle import Bundle
from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.detectors import DETECTORS
from secondread.detectors.contract import Generative
from secondread.errors import DataError, UserError
from secondread.previews.sampling import generative, sample
from secondread.previews.training_images import TrainingImages, from_bundle, from_manifest


@pytest.fixture(scope="module", autouse=True)
def _registered():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DETECTORS.built_in, NAME, PLACE)
        yield


@pytest.fixture(scope="module")
def gaussian(phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return fit_gaussian(phantoms, tmp_path_factory.mktemp("gaussian"), (32, 32))


@pytest.fixture(scope="module")
def in_full(gaussian: Bundle, phantoms: Manifest) -> TrainingImages:
    return from_manifest(gaussian, phantoms, cache=None, workers=0, shown=False)


def table(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "samples.csv").read_text())))


def test_each_image_has_a_file_and_a_row_with_its_nearest_training_image(
    gaussian: Bundle, in_full: TrainingImages, tmp_path: Path
) -> None:
    drawn = sample(gaussian, tmp_path, in_full, n=5, temperatures=(0.7, 1.0), seed=3)
    rows = table(tmp_path)
    assert len(rows) == len(drawn.samples) == 10
    for row in rows:
        assert np.asarray(Picture.open(tmp_path / row["file"])).shape == (32, 32)
        assert row["nearest"] in in_full.names
        assert float(row["distance"]) > 0
        assert float(row["training_q05"]) <= float(row["training_q50"]) <= float(row["training_q95"])
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["finished"]
    assert run["digests"]["bundle"] == gaussian.digest
    assert [line["images"] for line in run["samples"]] == [5, 5]


def test_an_image_depends_on_seed_temperature_and_number_alone(
    gaussian: Bundle, in_full: TrainingImages, tmp_path: Path
) -> None:
    for name, n, seed in (("few", 3, 1), ("many", 11, 1), ("other", 3, 2)):
        sample(gaussian, tmp_path / name, in_full, n=n, seed=seed)
    few, many, other = (
        [(tmp_path / name / f"samples/t0.7-{i:04d}.png").read_bytes() for i in range(3)]
        for name in ("few", "many", "other")
    )
    assert few == many
    assert not set(few) & set(other)


def test_running_again_adds_and_another_seed_is_refused(
    gaussian: Bundle, in_full: TrainingImages, tmp_path: Path
) -> None:
    sample(gaussian, tmp_path, in_full, n=2)
    before = (tmp_path / "samples/t0.7-0000.png").read_bytes()
    sample(gaussian, tmp_path, in_full, n=3)
    assert (tmp_path / "samples/t0.7-0000.png").read_bytes() == before
    assert len(table(tmp_path)) == 3
    with pytest.raises(UserError, match="another bundle or seed"):
        sample(gaussian, tmp_path, in_full, n=2, seed=1)


def test_a_copied_training_image_is_seen(
    phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    copying = fit_gaussian(phantoms, tmp_path_factory.mktemp("copy"), (32, 32), copies=True)
    for training in (
        from_bundle(copying),
        from_manifest(copying, phantoms, cache=None, workers=0, shown=False),
    ):
        drawn = sample(copying, tmp_path / str(training.in_full), training, n=2)
        assert [one.distance for one in drawn.samples] == pytest.approx([0, 0], abs=1e-6)
        assert [one.quantile for one in drawn.samples] == [0, 0]
        assert min(training.among) > 0.01


def test_nearest_distances_are_those_of_a_plain_search(in_full: TrainingImages) -> None:
    rows = np.stack([in_full.values(i) for i in range(len(in_full))]).reshape(len(in_full), -1)
    apart = np.sqrt(((rows[:, None] - rows[None]) ** 2).mean(axis=2))
    np.fill_diagonal(apart, np.inf)
    np.testing.assert_allclose(in_full.among, apart.min(axis=1), rtol=1e-5)


def test_only_images_that_the_detector_learnt_from_are_neighbours(
    gaussian: Bundle, in_full: TrainingImages, phantoms: Manifest
) -> None:
    splits = {row.path: row.split for row in phantoms.rows}
    assert len(in_full) == gaussian.provenance.cohorts["normal"]
    assert {splits[name] for name in in_full.names} == {"train"}
    with pytest.raises(UserError, match="learned from none"):
        from_manifest(gaussian, phantoms.where("label=abnormal"), cache=None, workers=0, shown=False)


def test_unlabelled_images_are_neighbours_of_a_detector_that_uses_them(
    phantoms: Manifest, tmp_path: Path
) -> None:
    bundle = fit_gaussian(phantoms, tmp_path, (32, 32), anomaly_rate=0.0)
    counts = bundle.provenance.cohorts
    assert counts["unlabelled"] > 0
    assert len(from_manifest(bundle, phantoms, cache=None, workers=0, shown=False)) == counts["normal"]
    bundle.detector.uses = frozenset({"unlabelled"})
    both = from_manifest(bundle, phantoms, cache=None, workers=0, shown=False)
    assert len(both) == counts["normal"] + counts["unlabelled"]


def test_the_bundle_alone_knows_the_same_distances(
    gaussian: Bundle, in_full: TrainingImages, tmp_path: Path
) -> None:
    alone = sample(gaussian, tmp_path / "alone", from_bundle(gaussian), n=4)
    full = sample(gaussian, tmp_path / "full", in_full, n=4)
    for one, other in zip(alone.samples, full.samples, strict=True):
        assert one.distance == pytest.approx(other.distance, rel=1e-5)
        assert alone.training.names[one.nearest].startswith("thumbnail ")


def test_between_two_images_the_ends_are_their_reconstructions(
    gaussian: Bundle, in_full: TrainingImages, phantoms: Manifest, tmp_path: Path
) -> None:
    files = tuple(phantoms.reference(row) for row in phantoms.rows[:2])
    drawn = sample(gaussian, tmp_path, in_full, n=1, between=files, workers=0)
    assert len(list((tmp_path / "interpolation").iterdir())) == 8
    shown = [picture[0] for picture in drawn.interpolation.pictures]
    assert len(shown) == 10
    assert (shown[0] == shown[1]).all()
    assert (shown[-1] == shown[-2]).all()


def test_images_that_are_not_finite_are_rows_with_an_error(
    phantoms: Manifest, tmp_path_factory: pytest.TempPathFactory, tmp_path: Path
) -> None:
    bundle = fit_gaussian(phantoms, tmp_path_factory.mktemp("overflow"), (32, 32), overflow=True)
    drawn = sample(bundle, tmp_path / "some", from_bundle(bundle), n=4)
    assert drawn.failed == 2
    assert [bool(row["error"]) for row in table(tmp_path / "some")] == [True, False, True, False]
    assert len(list((tmp_path / "some/samples").iterdir())) == 2
    with pytest.raises(DataError, match="none of 1 images is finite"):
        sample(bundle, tmp_path / "none", from_bundle(bundle), n=1)


def test_volumes_are_written_as_nifti_and_shown_in_three_planes(tmp_path: Path) -> None:
    heads = Manifest.read(
        make_phantoms(tmp_path / "heads", seed=0, rank=3, n_normal=12, n_abnormal=1, size=(16, 20, 24))
    )
    bundle = fit_gaussian(heads, tmp_path, (8, 10, 12))
    drawn = sample(bundle, tmp_path / "out", from_bundle(bundle), n=2)
    assert nibabel.load(tmp_path / "out/samples/t0.7-0001.nii.gz").shape == (12, 10, 8)
    assert [plane.shape for plane in drawn.pictures["samples/t0.7-0000.nii.gz"]] == [
        (10, 12),
        (8, 12),
        (8, 10),
    ]


def test_a_detector_that_draws_nothing_is_refused_with_those_that_do(
    fitted: Bundle, gaussian: Bundle
) -> None:
    assert isinstance(generative(gaussian), Generative)
    with pytest.raises(UserError, match=f"'spectrum' draws no images; detectors that do: .*{NAME}") as caught:
        generative(fitted)
    assert "\n" not in str(caught.value)


def test_the_generator_is_the_only_randomness(
    gaussian: Bundle, in_full: TrainingImages, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    first = sample(gaussian, tmp_path / "first", in_full, n=2)
    torch.manual_seed(2)
    second = sample(gaussian, tmp_path / "second", in_full, n=2)
    assert [one.distance for one in first.samples] == [one.distance for one in second.samples]
