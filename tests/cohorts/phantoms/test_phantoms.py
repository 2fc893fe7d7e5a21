import nibabel
import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from sklearn.metrics import roc_auc_score

from secondread.cohorts.manifest import Manifest
from secondread.cohorts.phantoms.make import make_phantoms
from secondread.errors import UserError


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    return Manifest.read(make_phantoms(tmp_path_factory.mktemp("films"), seed=7, n_normal=240, n_abnormal=80))


def picture(manifest, row):
    return np.asarray(Image.open(manifest.reference(row)), dtype=np.float64)


def test_mean_intensity_and_nearest_pixels_hardly_tell_lesions(films):
    train = np.stack([picture(films, row) for row in films.rows if row.split == "train"]).reshape(
        -1, 128 * 128
    )
    tested = [row for row in films.rows if row.split == "test"]
    test = np.stack([picture(films, row) for row in tested]).reshape(-1, 128 * 128)
    label = [row.label == "abnormal" for row in tested]
    bright = roc_auc_score(label, test.mean(axis=1))
    squared = (test**2).sum(1)[:, None] + (train**2).sum(1) - 2 * test @ train.T
    assert max(bright, 1 - bright) < 0.65
    assert roc_auc_score(label, squared.min(axis=1)) < 0.65


def test_lesions_are_brighter_than_the_ring_around_them(films):
    brighter = []
    for row in films.rows:
        if row.label == "abnormal":
            pixels = picture(films, row)
            mask = np.asarray(Image.open(films.mask_reference(row))) > 0
            assert 10 < mask.sum() < 2000
            ring = ndimage.binary_dilation(mask, iterations=6) & ~ndimage.binary_dilation(mask, iterations=2)
            brighter.append(pixels[mask].mean() > pixels[ring].mean())
    assert np.mean(brighter) > 0.9


def test_patients_stay_in_one_split_and_some_have_two_studies(films):
    splits, studies = {}, {}
    for row in films.rows:
        splits.setdefault(row.patient_id, set()).add(row.split)
        studies.setdefault(row.patient_id, set()).add(row.study_id)
    assert all(len(found) == 1 for found in splits.values())
    assert {len(found) for found in studies.values()} == {1, 2}


def test_the_seed_alone_decides(tmp_path):
    for name in ("one", "two"):
        make_phantoms(tmp_path / name, seed=1, n_normal=3, n_abnormal=2)
    make_phantoms(tmp_path / "other", seed=2, n_normal=3, n_abnormal=2)
    names = [path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.png")]
    assert all((tmp_path / "one" / n).read_bytes() == (tmp_path / "two" / n).read_bytes() for n in names)
    assert any((tmp_path / "one" / n).read_bytes() != (tmp_path / "other" / n).read_bytes() for n in names)


def test_two_views_of_sixteen_bits_share_a_study(tmp_path):
    path = make_phantoms(
        tmp_path, seed=0, n_normal=6, n_abnormal=2, n_train_abnormal=1, views=2, bits=16, size=(64, 80)
    )
    manifest = Manifest.read(path)
    assert len(manifest.rows) == 16
    for study in {row.study_id for row in manifest.rows}:
        assert {r.extra["view"] for r in manifest.rows if r.study_id == study} == {"PA", "LATERAL"}
    assert np.asarray(Image.open(manifest.reference(manifest.rows[0]))).max() > 255
    assert {row.split for row in manifest.rows if row.label == "abnormal"} == {"train", "test"}


def test_heads_are_volumes_with_masks_on_their_grid(tmp_path):
    manifest = Manifest.read(make_phantoms(tmp_path, seed=0, rank=3, n_normal=3, n_abnormal=2))
    for row in manifest.rows:
        volume = nibabel.load(manifest.reference(row))
        assert volume.shape == (64, 64, 32)
        assert np.asanyarray(volume.dataobj).max() > 300
        if row.label == "abnormal":
            mask = np.asanyarray(nibabel.load(manifest.mask_reference(row)).dataobj)
            assert mask.shape == volume.shape
            assert 5 < mask.sum() < 5000


@pytest.mark.parametrize(
    "wrong", [{"size": (8, 8)}, {"size": (64,)}, {"n_train_abnormal": 9}, {"n_test_normal": 50}]
)
def test_numbers_that_cannot_be_met_are_refused(tmp_path, wrong):
    with pytest.raises(UserError):
        make_phantoms(tmp_path, seed=0, n_normal=5, n_abnormal=5, **wrong)
