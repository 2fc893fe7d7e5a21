import numpy as np
import pytest

from secondread.images.content import content_digest


@pytest.fixture
def film():
    return np.random.default_rng(0).integers(3, 250, (1, 40, 30)).astype(np.uint8)


@pytest.mark.parametrize(
    "saved_again",
    [
        lambda film: film.astype(np.uint16) * 257,
        lambda film: film.astype(">i2"),
        lambda film: film / np.float32(255),
        lambda film: film.astype(np.float32) * 1.7 - 1024,
        lambda film: film.astype(np.int16) * 3 - 1024,
        lambda film: np.repeat(film, 3, axis=0),
        lambda film: np.asfortranarray(film),
    ],
)
def test_the_same_picture_has_one_digest_at_any_depth_and_in_any_unit(film, saved_again):
    assert content_digest(saved_again(film)) == content_digest(film)


@pytest.mark.parametrize(
    "other",
    [
        lambda film: film[:, ::-1],
        lambda film: film.transpose(0, 2, 1),
        lambda film: film.reshape(1, 30, 40),
        lambda film: np.where(np.arange(30) == 7, film ^ 1, film),
        lambda film: np.stack([film[0], film[0], film[0][::-1]]),
    ],
)
def test_another_picture_has_another(film, other):
    assert content_digest(other(film)) != content_digest(film)


def test_pictures_of_one_value_are_told_by_it():
    black, grey = np.zeros((1, 8, 8), np.uint8), np.full((1, 8, 8), 90, np.uint8)
    assert content_digest(black) != content_digest(grey)
    assert content_digest(grey) == content_digest(grey.astype(np.float32))


def test_deep_pictures_are_told_apart_by_small_differences():
    ct = np.random.default_rng(1).integers(-1024, 3000, (1, 20, 20)).astype(np.int16)
    other = ct.copy()
    other[0, 3, 3] += 4
    assert content_digest(other) != content_digest(ct)
