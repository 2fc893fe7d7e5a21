import base64
import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from secondread.images.read import read_image
from secondread.images.write import write_map
from secondread.reports.pictures import Drawn, Wanted, believed, draw_picture, fitted


def middle(data: str, layer: str) -> np.ndarray:
    """Of what is bright in a layer of a data URI's picture: row and column, as shares of its size."""
    picture = Image.open(io.BytesIO(base64.b64decode(data.split(",")[1]))).convert("RGBA")
    values = np.asarray(picture.getchannel(layer), np.float64)
    return np.argwhere(values > values.max() / 2).mean(axis=0) / values.shape


def test_heat_lies_over_what_is_hot_in_a_volume_without_positions(tmp_path: Path):
    values = np.full((10, 48, 36), 20, np.uint8)
    values[2:5, 6:14, 22:32] = 200
    tifffile.imwrite(tmp_path / "volume.tiff", values, photometric="minisblack")
    image = read_image(tmp_path / "volume.tiff")
    path = write_map(tmp_path / "map", image.geometry.to_file_axes(image.pixels[0]), image.geometry)
    drawn = draw_picture(Wanted(str(tmp_path / "volume.tiff"), str(path), (50.0, 200.0)))
    assert drawn.note == "slice 3 of 10"
    assert middle(drawn.heat, "A") == pytest.approx(middle(drawn.picture, "R"), abs=0.03)


def test_pictures_keep_the_patients_proportions():
    assert fitted((50, 100), None) == (160, 80)
    assert fitted((50, 100), (4.0, 1.0)) == (80, 160)


@pytest.mark.parametrize(
    "sent",
    [
        'data:image/webp;base64,AAAA"><script>alert(1)</script>',
        "javascript:alert(1)",
        "data:text/html;base64,AAAA",
        "data:image/webp;base64,AAAA\n",
    ],
)
def test_only_pictures_of_a_worker_reach_the_page(sent):
    good = Drawn(picture="data:image/webp;base64,AAAA")
    assert believed(good) == good
    for field in ("picture", "heat", "thumbnail"):
        assert not believed(Drawn(**{field: sent})).picture
        assert believed(Drawn(**{field: sent})).reason
