"""Boxes of a table become masks on the grids of their images."""

import numpy as np
import pytest
from PIL import Image

from secondread.cohorts.labels.answers import EachAnswer
from secondread.cohorts.labels.box_masks import BoxMasks, box_mask, write_box_masks
from secondread.cohorts.labels.boxes import Box, BoxColumns, boxes_by_image
from secondread.cohorts.labels.table import LabelTable
from secondread.errors import UserError


def read(folder, text):
    path = folder / "labels.csv"
    path.write_text(text)
    return LabelTable.read(path)


RSNA = "patientId,x,y,width,height,Target\na,2,1,3,2,1\na,6,5,1,1,1\nb,,,,,0\n"
VINDR = (
    "image_id,class_name,rad_id,x_min,y_min,x_max,y_max\n"
    "a,Mass,R1,2,1,5,3\na,Mass,R2,6,5,7,6\nb,No finding,R1,,,,\n"
)
COMMAS = "patientId;x;y;width;height;Target\na;2,0;1,0;3,0;2,0;1\na;6,00;5;1;1;1\nb;;;;;0\n"
NIH = "Image Index,Finding Label,Bbox [x,y,w,h]\na,Mass,2,1,3,2\na,Mass,6,5,1,1\nb,none,,,,\n"


@pytest.mark.parametrize(
    ("text", "image", "label", "normal"),
    [
        (RSNA, "patientId", "Target", "0"),
        (COMMAS, "patientId", "Target", "0"),
        (VINDR, "image_id", "class_name", "No finding"),
        (NIH, "Image Index", "Finding Label", "none"),
    ],
)
def test_known_forms_are_recognised_and_several_boxes_become_one_mask(tmp_path, text, image, label, normal):
    table = read(tmp_path, text)
    columns = BoxColumns.recognised(table)
    found = EachAnswer(table, image, label_column=label, normal=[normal]).together()
    boxes = boxes_by_image(table, found.rows, columns)
    masks = BoxMasks.beside(tmp_path / "films.csv")
    written = write_box_masks(masks, boxes, {"a": (8, 10), "b": (8, 10)})
    expected = np.zeros((8, 10), np.uint8)
    expected[1:3, 2:5] = expected[5, 6] = 255
    assert list(written) == ["a"]
    assert written["a"] == tmp_path / "films.masks" / "a.png"
    assert np.array_equal(np.asarray(Image.open(written["a"])), expected)


def test_boxes_follow_a_picture_that_was_resized_where_the_table_says_its_size(tmp_path):
    table = read(tmp_path, "i,x_min,y_min,x_max,y_max,width,height\na,20,10,50,30,100,80\n")
    columns = BoxColumns.named(table, ["x_min", "y_min", "x_max", "y_max"], ["width", "height"])
    boxes = boxes_by_image(table, {"a": table.rows}, columns)
    path = BoxMasks(tmp_path).write("a", (8, 10), boxes["a"], shares=True)
    mask = np.asarray(Image.open(path))
    assert (mask.any(0).nonzero()[0].tolist(), mask.any(1).nonzero()[0].tolist()) == ([2, 3, 4], [1, 2])


def test_a_box_that_lies_outside_is_refused_and_nothing_is_written(tmp_path):
    boxes = {"a": [Box(0, 0, 2, 2)], "b": [Box(900, 500, 950, 600, line=7)]}
    with pytest.raises(
        UserError, match=r"b: a box \(line 7\).*outside of its 8×10 pixels; was the picture resized"
    ):
        write_box_masks(BoxMasks(tmp_path / "m"), boxes, {"a": (8, 10), "b": (8, 10)})
    assert not (tmp_path / "m").exists()
    assert box_mask("c", (4, 4), [Box(-0.5, 0, 2, 2)]).sum() == 4


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("a,1,1,0,4", "line 2: a box without an area"),
        ("a,1,1,,4", "line 2, column width: '' is no number"),
        ("a,one,1,2,4", "line 2, column x: 'one' is no number"),
        ("a,,,,", "no row has a box"),
    ],
)
def test_a_box_that_is_none_is_refused_with_its_line(tmp_path, row, told):
    table = read(tmp_path, f"i,x,y,width,height\n{row}\n")
    with pytest.raises(UserError, match=told):
        boxes_by_image(table, {"a": table.rows}, BoxColumns.recognised(table))


def test_names_of_masks_never_leave_their_folder_nor_meet(tmp_path):
    masks = BoxMasks(tmp_path)
    places = [
        masks.place(name) for name in ("../x/a.png", "x/a#frame/0", "x/b.nii.gz", "x/a|b.png", "é" * 90)
    ]
    assert len(set(places)) == len(places)
    assert all(tmp_path in place.parents and ".." not in place.parts for place in places)
