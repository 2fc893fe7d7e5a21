import pytest
from pydicom import Dataset

from secondread.results.dicom.body_part import set_body_part


def source(**elements: str) -> Dataset:
    made = Dataset()
    for keyword, value in elements.items():
        setattr(made, keyword, value)
    return made


@pytest.mark.parametrize(
    ("elements", "side"),
    [
        ({"Laterality": "R", "BodyPartExamined": "KNEE"}, "R"),
        ({"ImageLaterality": "L", "BodyPartExamined": "BREAST"}, "L"),
        ({"Laterality": "", "ImageLaterality": "B", "BodyPartExamined": "BREAST"}, ""),
        ({"Laterality": "R", "BodyPartExamined": "CHEST"}, "R"),
        ({"BodyPartExamined": "KNEE"}, ""),
        ({}, ""),
        ({"BodyPartExamined": "CHEST"}, None),
        ({"Laterality": "", "BodyPartExamined": "BRAIN"}, None),
    ],
)
def test_the_side_is_the_source_s_and_a_single_part_has_none(
    elements: dict[str, str], side: str | None
) -> None:
    made = Dataset()
    made.Laterality = "L"
    set_body_part(made, source(**elements))
    assert made.get("Laterality") == side
    assert made.get("BodyPartExamined") == elements.get("BodyPartExamined")


def test_a_part_that_is_no_code_is_left_out() -> None:
    made = source(BodyPartExamined="OLD")
    set_body_part(made, source(BodyPartExamined="Head, neck"))
    assert "BodyPartExamined" not in made
    assert made.Laterality == ""
