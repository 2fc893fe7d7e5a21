import numpy as np
import pytest

from secondread.images.image import VECTOR, ImageError
from secondread.images.limits import ReadLimits
from secondread.images.read import read_image

TABLE = "split,f1,Patient ID,f2,site,fold\ntrain,1.5,7,-2,A,0\ntest,2e3,8,0.25,B,1\n"


def written(folder, text=TABLE):
    path = folder / "features.csv"
    path.write_text(text)
    return path


def test_a_line_is_an_image_of_one_row_of_its_numbers(tmp_path):
    path = written(tmp_path)
    image = read_image(f"{path}#row/1")
    assert image.pixels.dtype == np.float32
    np.testing.assert_array_equal(image.pixels, [[[2000.0, 0.25]]])
    assert VECTOR in image.header
    assert image.digest != read_image(f"{path}#row/0").digest


def test_an_array_of_two_axes_in_an_archive_holds_vectors(tmp_path):
    values = np.random.default_rng(0).normal(size=(5, 7))
    np.savez(tmp_path / "features.npz", train_images=values)
    image = read_image(f"{tmp_path / 'features.npz'}#train_images/3")
    np.testing.assert_array_equal(image.pixels, values[3][None, None])
    assert VECTOR in image.header


@pytest.mark.parametrize(
    ("text", "member", "words"),
    [
        (TABLE, "row/2", "has lines 0 to 1"),
        (TABLE, "row/x", "write #row/N"),
        ("site,f\nA,1\nB,2\nC,\n", "row/0", "line 4, column f: '' is no finite number"),
        ("site,f\nA,1\nB,2\nC,inf\n", "row/0", "line 4, column f: 'inf' is no finite number"),
        ("site,f\nA,1\nB,2\nC\n", "row/0", "line 4, column f: 'nothing' is no finite number"),
        ("site,view\nA,PA\n", "row/0", "without a column of numbers"),
        ('site,f\nA,"1\n', "row/0", "no table"),
    ],
)
def test_what_is_no_vector_is_told_in_one_line(tmp_path, text, member, words):
    with pytest.raises(ImageError, match=words):
        read_image(f"{written(tmp_path, text)}#{member}")


def test_more_lines_than_a_file_may_hold_are_refused(tmp_path):
    with pytest.raises(ImageError, match="2 lines"):
        read_image(f"{written(tmp_path)}#row/0", limits=ReadLimits(max_images=1))
