import numpy as np
import pytest
from pydantic import ValidationError
from scipy.ndimage import binary_erosion, label

from secondread.postprocessing.areas import area_of, eroded
from secondread.postprocessing.components import without_small
from secondread.postprocessing.map_processing import MapNormals, MapProcessing, MapProcessingDocument
from secondread.postprocessing.map_settings import MapSettings

GENERATOR = np.random.default_rng(0)
MAPS = GENERATOR.random((4, 8, 10)).astype(np.float32)
IMAGES = GENERATOR.random((4, 2, 8, 10)).astype(np.float32)
VALID = np.ones((4, 1, 8, 10), bool)
VALID[:, :, :, 7:] = False


def fitted(valid=None, **settings) -> MapProcessing:
    normals = MapNormals(MapSettings(**settings), {"error": 1.0})
    normals.add({"error": MAPS[:3]}, None if valid is None else valid[:3])
    normals.add({"error": MAPS[3:]}, None if valid is None else valid[3:])
    return normals.fitted()


@pytest.mark.parametrize("shape", [(20, 24), (12, 10, 14)])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_eroding_is_that_of_a_cross_which_the_images_edge_does_not_start(shape, steps):
    area = np.random.default_rng(2).random(shape) < 0.995
    expected = binary_erosion(area, iterations=steps, border_value=1)
    np.testing.assert_array_equal(eroded(area, steps), expected)
    assert eroded(np.ones(shape, bool), steps).all()


def test_without_invalid_pixels_a_map_counts_everywhere():
    assert area_of(None, MapSettings(erode=3)) is None


def test_outside_the_eroded_area_a_map_has_the_lowest_value_of_normals():
    processing = fitted(VALID, erode=2)
    inside = MAPS[:, :, :5]
    assert processing.lowest["error"] == inside.min()
    found = processing.apply({"error": MAPS}, IMAGES, VALID)["error"]
    np.testing.assert_array_equal(found[:, :, :5], inside)
    np.testing.assert_array_equal(found[:, :, 5:], inside.min())


def test_a_map_falls_no_lower_than_those_of_normals():
    found = fitted(erode=1).apply({"error": MAPS - 5}, IMAGES, None)["error"]
    np.testing.assert_array_equal(found, np.full_like(MAPS, MAPS.min()))


def test_the_prior_keeps_places_where_some_channel_lies_within_its_bounds():
    found = fitted(at_least=0.5, at_most=0.8).apply({"error": MAPS}, IMAGES, None)["error"]
    within = ((IMAGES >= 0.5) & (IMAGES <= 0.8)).any(axis=1)
    np.testing.assert_array_equal(found, np.where(within, MAPS, MAPS.min()))


def test_the_median_sees_what_the_prior_took_and_not_what_lies_outside():
    maps, images, valid = np.full((1, 7, 7), 0.5), np.zeros((1, 1, 7, 7)), np.ones((1, 1, 7, 7), bool)
    maps[0, 2, 2], images[0, 0, 2, 2] = 9.0, 1.0  # a speck, alone in being bright
    images[0, 0, 4:, :2], valid[0, 0, :, 2:] = 1.0, False
    normals = MapNormals(MapSettings(at_least=0.9, median=3), {"error": 1.0})
    normals.add({"error": np.zeros((1, 7, 7), np.float32)}, None)
    found = normals.fitted().apply(
        {"error": maps.astype(np.float32)}, images.astype(np.float32), valid
    )["error"][0]  # fmt: skip
    assert found[2, 2] == 0
    np.testing.assert_array_equal(found[5:, :2], 0.5)
    assert not found[:, 2:].any()


def test_the_mean_of_normals_is_taken_off_position_by_position():
    processing = fitted(subtract_normal=True)
    np.testing.assert_allclose(processing.normal["error"], MAPS.mean(axis=0), rtol=1e-6)
    found = processing.apply({"error": MAPS}, IMAGES, None)["error"]
    np.testing.assert_allclose(found, MAPS - MAPS.mean(axis=0), atol=1e-6)
    assert processing.lowest["error"] == pytest.approx((MAPS - MAPS.mean(axis=0)).min(), abs=1e-6)


def test_where_no_normal_counts_the_mean_of_all_places_is_taken_off():
    normal = fitted(VALID, subtract_normal=True).normal["error"]
    np.testing.assert_allclose(normal[:, :7], MAPS[:, :, :7].mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(normal[:, 7:], MAPS[:, :, :7].mean(), rtol=1e-6)


@pytest.mark.parametrize("shape", [(12, 12), (6, 7, 8)])
def test_small_components_come_just_below_the_threshold(shape):
    values = np.random.default_rng(3).random(shape).astype(np.float32)
    labels, count = label(values >= 0.8, np.ones((3,) * len(shape)))
    sizes = np.bincount(labels.ravel())
    found = without_small(values, 0.8, 4)
    expected = np.isin(labels, [n for n in range(1, count + 1) if sizes[n] >= 4])
    np.testing.assert_array_equal(found >= 0.8, expected)
    np.testing.assert_array_equal(found[values < 0.8], values[values < 0.8])
    assert found[(values >= 0.8) & ~expected] == pytest.approx(0.8)


def test_without_a_threshold_no_component_goes():
    assert fitted(smallest=5).finish(MAPS, None) is MAPS


@pytest.mark.parametrize(
    ("score", "expected"),
    [
        ("mean", lambda values: values.mean()),
        ("max", lambda values: values.max()),
        ("top", lambda values: np.sort(values.ravel())[-6:].mean()),
    ],
)
def test_a_maps_score_is_of_its_valid_places(score, expected):
    processing = fitted(VALID, score=score, top_share=0.1)
    found = processing.image_scores({"error": MAPS}, VALID)
    np.testing.assert_allclose(found, [expected(values[:, :7].astype(float)) for values in MAPS])


def test_several_maps_are_summed_by_weight_for_the_score():
    processing = MapProcessing(
        MapSettings(score="mean"), {"a": 1.0, "b": 2.0}, {"a": 0.0, "b": 0.0, "c": 0.0}
    )
    found = processing.image_scores({"a": MAPS, "b": MAPS, "c": MAPS}, None)
    np.testing.assert_allclose(found, 3 * MAPS.astype(float).mean(axis=(1, 2)))


def test_an_image_comes_out_alike_alone_and_among_others():
    processing = fitted(VALID, median=3, erode=1, at_least=0.3, subtract_normal=True)
    together = processing.apply({"error": MAPS}, IMAGES, VALID)["error"]
    alone = processing.apply({"error": MAPS[2:3]}, IMAGES[2:3], VALID[2:3])["error"]
    np.testing.assert_array_equal(alone[0], together[2])


def test_state_and_back():
    processing = fitted(subtract_normal=True, median=3)
    document, arrays = processing.state()
    again = MapProcessing.from_state(MapProcessingDocument.model_validate(document), arrays)
    again.require_size((8, 10))
    np.testing.assert_array_equal(
        again.apply({"error": MAPS}, IMAGES, None)["error"],
        processing.apply({"error": MAPS}, IMAGES, None)["error"],
    )
    with pytest.raises(ValueError, match="of size"):
        again.require_size((10, 8))
    with pytest.raises(ValueError, match="not \\["):
        MapProcessing.from_state(MapProcessingDocument.model_validate(document), {}).require_size((8, 10))


def test_maps_of_other_names_are_refused():
    with pytest.raises(ValueError, match="'other' is not of both"):
        fitted().apply({"error": MAPS, "other": MAPS}, IMAGES, None)


@pytest.mark.parametrize(
    "given", [{"median": 4}, {"at_least": 0.5, "at_most": 0.5}, {"erode": -1}, {"top_share": 0}]
)
def test_settings_that_mean_nothing_are_refused(given):
    with pytest.raises(ValidationError):
        MapSettings(**given)


def test_normals_of_which_nothing_counts_are_refused():
    with pytest.raises(ValueError, match="no position"):
        fitted(VALID, erode=9)
