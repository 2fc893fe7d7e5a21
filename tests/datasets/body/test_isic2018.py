import pytest

from secondread.errors import UserError

HEAD = "image,MEL,NV,BCC,AKIEC,BKL,DF,VASC\n"
NV, MEL, DF = "0.0,1.0,0.0,0.0,0.0,0.0,0.0", "1.0,0.0,0.0,0.0,0.0,0.0,0.0", "0.0,0.0,0.0,0.0,0.0,1.0,0.0"


def truth(part, *lines):
    name = f"ISIC2018_Task3_{part}_GroundTruth"
    return {f"ISIC/{name}/{name}.csv": HEAD + "".join(f"{line}\n" for line in lines)}


TEXTS = {
    **truth("Training", f"ISIC_1,{NV}", f"ISIC_2,{MEL}"),
    **truth("Validation", f"ISIC_3,{NV}", f"ISIC_4,{DF}"),
    **truth("Test", f"ISIC_5,{NV}", f"ISIC_6,{MEL}"),
    "ISIC/ISIC2018_Task3_Training_LesionGroupings.csv": (
        "image,lesion_id,diagnosis_confirm_type\nISIC_1,HAM_9,histopathology\nISIC_2,HAM_9,histopathology\n"
    ),
}
IMAGES = tuple(
    f"ISIC/ISIC2018_Task3_{part}_Input/ISIC_{number}.jpg"
    for part, numbers in (("Training", (1, 2)), ("Validation", (3, 4)), ("Test", (5, 6)))
    for number in numbers
)


def test_isic_has_nevi_as_normal_and_lesions_as_patients(lay_out, converted, columns):
    found = converted("isic2018", lay_out(*IMAGES, texts=TEXTS))
    said = columns(found, "split", "label", "finding", "patient_id")
    assert said["ISIC2018_Task3_Training_Input/ISIC_1.jpg"] == ("train", "normal", "", "HAM_9")
    assert said["ISIC2018_Task3_Training_Input/ISIC_2.jpg"] == ("train", "abnormal", "melanoma", "HAM_9")
    assert said["ISIC2018_Task3_Validation_Input/ISIC_4.jpg"] == (
        "validation",
        "abnormal",
        "dermatofibroma",
        "",
    )
    assert len(said) == 6


@pytest.mark.parametrize(("protocol", "test"), [("ae-flow", "Validation"), ("medianomaly", "Test")])
def test_papers_learn_from_nevi_and_test_on_one_official_part(protocol, test, lay_out, converted):
    found = converted("isic2018", lay_out(*IMAGES, texts=TEXTS), protocol=protocol)
    assert found.manifest.counts() == {"test": {"abnormal": 1, "normal": 1}, "train": {"normal": 1}}
    assert all(test in row.path for row in found.manifest if row.split == "test")


def test_other_diagnoses_may_count_as_normal(lay_out, converted):
    found = converted("isic2018", lay_out(*IMAGES, texts=TEXTS), normal=("NV", "DF"))
    assert found.manifest.counts()["validation"] == {"normal": 2}
    with pytest.raises(UserError, match="--normal nevus: no diagnosis of ISIC 2018; they are MEL, NV"):
        converted("isic2018", lay_out(), normal=("nevus",))


def test_a_part_that_a_protocol_needs_is_asked_for(lay_out, converted):
    texts = {name: text for name, text in TEXTS.items() if "_Test_" not in name}
    folder = lay_out(*IMAGES[:4], texts=texts)
    assert "test" not in converted("isic2018", folder).manifest.counts()
    with pytest.raises(UserError, match="no ISIC2018_Task3_Test_Input, which medianomaly needs; get it from"):
        converted("isic2018", folder, protocol="medianomaly")
