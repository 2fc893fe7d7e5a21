import json

import numpy as np
import pytest
from pydantic import ValidationError

from secondread.images.image import VECTOR, Geometry, Image, ImageError
from secondread.preprocessing.placement import Placement
from secondread.preprocessing.preprocessing import Preprocessing
from secondread.preprocessing.preprocessing_settings import PreprocessingSettings


def preprocessing(**settings):
    return Preprocessing(PreprocessingSettings.model_validate(settings))


def image(values, **known):
    return Image(np.asarray(values), known.pop("geometry", Geometry()), "a.png", "ab" * 20, **known)


def volume(shape=(9, 20, 30), seed=0):
    geometry = Geometry(
        spacing=(5.0, 1.0, 1.0),
        affine=np.diag([1.0, 2, 3, 1]),
        file_axes=(2, 1, 0),
        file_flips=(True, False, True),
        file_affine=np.eye(4),
        remarks=("gantry tilted by 12 degrees",),
    )
    values = np.random.default_rng(seed).random((1, *shape)).astype(np.float32)
    return image(values, geometry=geometry)


def test_yaml_steps_become_settings_and_go_back():
    steps = [
        {"window": "header"},
        {"window": {"low": -14, "high": 113}},
        {"window": "brain-shibata"},
        {"percentiles": {"low": 1, "high": 99}},
        {"standardise": {}},
        {"resample": {"spacing": [1, 1]}},
        {"align": {"max_rotation": 10}},
    ]
    settings = PreprocessingSettings.model_validate({"size": [64, 64], "fit": "pad", "steps": steps})
    again = PreprocessingSettings.model_validate(json.loads(settings.model_dump_json()))
    assert again == settings
    assert [type(step).__name__ for step in settings.steps[-2:]] == ["Resample", "Align"]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"windw": "header"}], "names are window, percentiles"),
        (["window"], "a step is one name"),
        ([{"window": "header", "align": {}}], "a step is one name"),
        ([{"window": "brian"}], "brain"),
        ([{"align": {}}, {"window": "header"}], "in this order"),
        ([{"align": {}}, {"align": {}}], "once"),
        ([{"resample": {"spacing": [1, 1]}}], "no effect with fit: stretch"),
        ([{"percentiles": {"low": 5, "hihg": 9}}], "hihg"),
    ],
)
def test_a_wrong_step_is_named(steps, message):
    with pytest.raises(ValidationError, match=message):
        PreprocessingSettings.model_validate({"size": [64, 64], "steps": steps})


@pytest.mark.parametrize("colour", ["grey", "rgb"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("steps", [[{"window": "header"}], [{"percentiles": {}}], [{"standardise": {}}], []])
def test_any_picture_becomes_finite_floats_of_the_asked_shape(colour, channels, steps):
    values = np.random.default_rng(0).integers(0, 65536, (channels, 50, 37), dtype=np.uint16)
    prepared = preprocessing(size=(32, 40), colour=colour, steps=steps).apply(image(values))
    assert prepared.pixels.shape == (1 if colour == "grey" else 3, 32, 40)
    assert prepared.pixels.dtype == np.float32
    assert np.isfinite(prepared.pixels).all()
    assert prepared.digest == "ab" * 20
    assert prepared.thumbnail.shape == (16, 16)
    assert prepared.acquisition["rows"] == 50


@pytest.mark.parametrize("fit", ["stretch", "pad", "crop", "place"])
def test_a_volumes_map_lies_on_its_files_grid_and_axes(fit):
    one = preprocessing(size=(8, 16, 24), fit=fit)
    prepared = one.apply(volume())
    back = one.to_file_grid(prepared.pixels[0], prepared.placement)
    assert back.shape == (30, 20, 9)
    assert back.dtype == np.float32
    assert prepared.placement.seen_on_file_grid().shape == (30, 20, 9)


def test_a_map_on_an_unchanged_grid_comes_back_unchanged():
    source = volume((8, 16, 24))
    prepared = preprocessing(size=(8, 16, 24), steps=[]).apply(source)
    back = prepared.placement.to_file_grid(prepared.pixels[0])
    np.testing.assert_array_equal(back, source.geometry.to_file_axes(source.pixels[0]))


def test_a_placement_goes_through_json():
    prepared = preprocessing(size=(8, 16, 24), fit="pad").apply(volume())
    placement = Placement.from_json(json.loads(json.dumps(prepared.placement.to_json())))
    assert placement.to_json() == prepared.placement.to_json()
    assert placement.geometry.file_axes == (2, 1, 0)
    assert "gantry tilted by 12 degrees" in placement.remarks
    scores = np.random.default_rng(0).random((8, 16, 24))
    np.testing.assert_array_equal(placement.to_file_grid(scores), prepared.placement.to_file_grid(scores))


def test_a_map_of_another_size_is_refused():
    prepared = preprocessing(size=(8, 8)).apply(image(np.zeros((1, 5, 5), np.uint8)))
    with pytest.raises(ValueError, match="prepared grid"):
        prepared.placement.to_file_grid(np.zeros((5, 5)))


def test_a_vector_is_never_stretched_cut_or_padded():
    vector = image(np.zeros((1, 1, 12), np.float32), header={VECTOR: "yes"})
    assert preprocessing(size=(1, 12), steps=[]).apply(vector).pixels.shape == (1, 1, 12)
    for size in ((1, 9), (1, 20), (12, 1)):
        with pytest.raises(ImageError, match=r"a vector of 12 values, .*set preprocessing\.size=\[1,12\]"):
            preprocessing(size=size, fit="place", steps=[]).apply(vector)


def test_padding_is_dark_and_not_valid():
    prepared = preprocessing(size=(20, 20), fit="pad").apply(image(np.full((1, 10, 20), 200, np.uint8)))
    assert prepared.valid.sum() == 200
    prepared = preprocessing(size=(20, 20), fit="pad").apply(
        image(np.arange(200, dtype=np.uint8).reshape(1, 10, 20))
    )
    assert (prepared.pixels[0][~prepared.valid] == 0).all()


def test_pixels_that_the_header_calls_padding_are_not_valid():
    padding = np.zeros((16, 16), bool)
    padding[:, :4] = True
    values = np.where(padding, -2000, 40)[np.newaxis].astype(np.int16)
    prepared = preprocessing(size=(8, 8), steps=[{"window": "brain"}]).apply(image(values, padding=padding))
    np.testing.assert_array_equal(prepared.valid, np.tile(np.arange(8) >= 2, (8, 1)))
    assert (prepared.pixels == 0.5).all()


def test_resampling_needs_a_spacing_and_keeps_millimetres():
    one = preprocessing(
        size=(20, 20, 20), fit="place", steps=[{"window": "header"}, {"resample": {"spacing": [2.5, 1, 1.5]}}]
    )
    assert one.apply(volume()).placement.grid.scale == (0.5, 1.0, 1.5)
    flat = preprocessing(size=(20, 20), fit="pad", steps=[{"resample": {"spacing": [1, 1]}}])
    with pytest.raises(ImageError, match="does not state its pixel spacing"):
        flat.apply(image(np.zeros((1, 5, 5), np.uint8)))


def test_a_picture_is_no_volume():
    with pytest.raises(ImageError, match="2 spatial axes"):
        preprocessing(size=(8, 8, 8)).apply(image(np.zeros((1, 5, 5), np.uint8)))


def test_the_digest_follows_the_settings():
    digests = {preprocessing(size=(8, 8), fit=fit).digest for fit in ("pad", "crop", "stretch")}
    assert len(digests) == 3
    assert preprocessing(size=(8, 8)).digest == preprocessing(size=[8, 8]).digest
