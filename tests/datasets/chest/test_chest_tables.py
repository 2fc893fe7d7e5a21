import numpy as np
import pytest

from cohorts.dicom_files import write_dicom
from secondread.errors import UserError
from secondread.images.read import read_image

RSNA = {
    "stage_2_detailed_class_info.csv": (
        "patientId,class\n"
        "p1,Normal\np2,No Lung Opacity / Not Normal\np3,Lung Opacity\np3,Lung Opacity\np4,Normal\n"
    ),
    "stage_2_train_labels.csv": (
        "patientId,x,y,width,height,Target\n"
        "p1,,,,,0\np2,,,,,0\np3,0,0,512,128,1\np3,512,512,128,512,1\np4,,,,,0\n"
    ),
}
FILMS = tuple(f"stage_2_train_images/p{number}.png" for number in (1, 2, 3))

VINDR_BOXES = (
    "image_id,rad_id,class_name,x_min,y_min,x_max,y_max\n"
    "a,R1,No finding,,,,\na,R2,No finding,,,,\na,R3,No finding,,,,\n"
    "b,R1,Cardiomegaly,1,1,3,3\nb,R2,Cardiomegaly,2,2,4,4\nb,R3,No finding,,,,\n"
    "c,R1,Nodule/Mass,0,0,2,2\nc,R2,No finding,,,,\nc,R3,No finding,,,,\n"
)
VINDR_LABELS = (
    "image_id,rad_id,Cardiomegaly,Nodule/Mass,No finding\n"
    "a,R1,0,0,1\na,R2,0,0,1\na,R3,0,0,1\nb,R1,1,0,0\nb,R2,1,0,0\nb,R3,0,0,1\nc,R1,0,1,0\nc,R2,0,0,1\nc,R3,0,0,1\n"
)

NIH = {
    "Data_Entry_2017.csv": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],\n"
        "00000001_000.png,Cardiomegaly|Emphysema,0,1,058Y,M,PA,2682,2749,0.143,0.143,\n"
        "00000002_000.png,No Finding,0,2,081Y,F,AP,2500,2048,0.171,0.171,\n"
        "00000003_000.png,No Finding,0,3,060Y,F,PA,2500,2048,0.171,0.171,\n"
    ),
    "train_val_list.txt": "00000001_000.png\n00000002_000.png\n",
    "test_list.txt": "00000003_000.png\n",
    "BBox_List_2017.csv": (
        "Image Index,Finding Label,Bbox [x,y,w,h],,,\n00000001_000.png,Cardiomegaly,256,512,128,128,,,\n"
    ),
}

CHEXPERT_HEAD = (
    "Path,Sex,Age,Frontal/Lateral,AP/PA,No Finding,Enlarged Cardiomediastinum,Cardiomegaly,Lung Opacity,"
    "Lung Lesion,Edema,Consolidation,Pneumonia,Atelectasis,Pneumothorax,Pleural Effusion,Pleural Other,"
    "Fracture,Support Devices\n"
)
CHEXPERT = {
    "CheXpert-v1.0-small/train.csv": CHEXPERT_HEAD
    + "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg,Female,68,Frontal,AP,1.0"
    + ",,,,,,,,,,,,,1.0\n"
    + "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg,Male,40,Frontal,PA,"
    + ",,1.0,,,-1.0,,,,,1.0,,,\n"
    + "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg,Male,40,Lateral,,"
    + ",,,,,,-1.0,,,,,,,\n"
    + "CheXpert-v1.0-small/train/patient00009/study1/view1_frontal.jpg,Male,40,Frontal,PA,1.0"
    + ",,,,,,,,,,,,,\n",
    "CheXpert-v1.0-small/valid.csv": CHEXPERT_HEAD
    + "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg,Male,73,Frontal,AP,1.0"
    + ",0.0" * 13
    + "\n",
}
CHEXPERT_FILMS = (
    "CheXpert-v1.0-small/train/patient00001/study1/view1_frontal.jpg",
    "CheXpert-v1.0-small/train/patient00002/study2/view1_frontal.jpg",
    "CheXpert-v1.0-small/train/patient00002/study2/view2_lateral.jpg",
    "CheXpert-v1.0-small/valid/patient64541/study1/view1_frontal.jpg",
)


def marked(found, tmp_path, path):
    """Rows and columns that the written mask of a row marks."""
    manifest = found.manifest.read(found.manifest.write(tmp_path / "set.csv"))
    row = next(row for row in manifest if row.path.endswith(path))
    mask = read_image(manifest.mask_reference(row)).pixels[0] > 0
    return np.argwhere(mask).tolist()


def test_rsna_has_three_classes_and_boxes_as_masks_of_the_size_of_the_file(
    lay_out, converted, columns, tmp_path
):
    found = converted("rsna-pneumonia", lay_out(*FILMS, texts=RSNA))
    assert columns(found, "split", "label", "finding", "patient_id") == {
        FILMS[0]: ("", "normal", "", "p1"),
        FILMS[1]: ("", "abnormal", "No Lung Opacity / Not Normal", "p2"),
        FILMS[2]: ("", "abnormal", "Lung Opacity", "p3"),
    }
    first = [[0, column] for column in range(4)]
    second = [[row, 4] for row in range(4, 8)]
    assert marked(found, tmp_path, "p3.png") == first + second
    assert any("names 1 image that" in note for note in found.notes)


def test_rsna_as_ddad_leaves_out_what_is_neither_normal_nor_opaque(lay_out, converted):
    found = converted("rsna-pneumonia", lay_out(*FILMS, texts=RSNA), protocol="lung-opacity")
    assert found.manifest.counts() == {"": {"abnormal": 1, "normal": 1}}


def test_rsna_without_a_table_says_which(lay_out, converted):
    with pytest.raises(
        UserError, match=r"set: stage_2_train_labels.csv is missing; get the data set from https"
    ):
        converted("rsna-pneumonia", lay_out(*FILMS, texts=dict([*RSNA.items()][:1])))


def test_vindr_is_abnormal_where_any_reader_marks_and_takes_more_readers_where_asked(
    lay_out, converted, columns, tmp_path
):
    folder = lay_out(texts={"train.csv": VINDR_BOXES, "train/readme.txt": ""})
    for name in "abc":
        about = {"PatientAge": "061Y", "PatientSex": "F", "ViewPosition": "PA"} if name == "a" else {}
        films = np.zeros((8, 8), np.uint16)
        write_dicom(folder / "train" / f"{name}.dicom", Modality="CR", stored=films, **about)
    found = converted("vindr-cxr", folder)
    assert columns(found, "label", "finding", "age", "sex", "view") == {
        "train/a.dicom": ("normal", "", "61", "F", "PA"),
        "train/b.dicom": ("abnormal", "Cardiomegaly", "", "", ""),
        "train/c.dicom": ("abnormal", "Nodule/Mass", "", "", ""),
    }
    assert marked(found, tmp_path, "c.dicom") == [[0, 0], [0, 1], [1, 0], [1, 1]]
    by_two = converted("vindr-cxr", folder, readers=2)
    assert columns(by_two, "label", "finding")["train/c.dicom"] == ("", "")
    assert columns(by_two, "label", "finding")["train/b.dicom"] == ("abnormal", "Cardiomegaly")
    with pytest.raises(UserError, match=r"--readers 4: images of .*train.csv have 3 at most"):
        converted("vindr-cxr", folder, readers=4)
    assert any("1 image of train, which fewer readers mark" in note for note in by_two.notes)


def test_vindr_from_physionet_has_a_test_by_consensus(lay_out, converted, columns):
    head = "image_id,class_name,x_min,y_min,x_max,y_max\n"
    folder = lay_out(
        *(f"train/{name}.png" for name in "abc"),
        *(f"test/{name}.png" for name in "de"),
        texts={
            "annotations/annotations_train.csv": VINDR_BOXES,
            "annotations/image_labels_train.csv": VINDR_LABELS,
            "annotations/annotations_test.csv": head + "d,No finding,,,,\ne,Cardiomegaly,0,0,4,4\n",
            "annotations/image_labels_test.csv": (
                "image_id,Cardiomegaly,Nodule/Mass,No finding\nd,0,0,1\ne,1,0,0\n"
            ),
        },
    )
    found = converted("vindr-cxr", folder)
    assert found.manifest.counts() == {
        "test": {"abnormal": 1, "normal": 1},
        "train": {"abnormal": 2, "normal": 1},
    }
    assert all(mask for label, mask in columns(found, "label", "mask").values() if label == "abnormal")


def test_vindr_resized_has_boxes_that_follow(lay_out, converted, tmp_path):
    sizes = "image_id,dim0,dim1\na,16,16\nb,16,16\nc,16,16\n"
    folder = lay_out(
        *(f"train/{name}.png" for name in "abc"), texts={"train.csv": VINDR_BOXES, "train_meta.csv": sizes}
    )
    assert marked(converted("vindr-cxr", folder), tmp_path, "c.png") == [[0, 0]]


def test_vindr_without_its_table_says_so(lay_out, converted):
    with pytest.raises(UserError, match=r"train.csv is missing; get the data set from https://physionet"):
        converted("vindr-cxr", lay_out("train/a.png"))


def test_nih_has_lists_patients_and_boxes(lay_out, converted, columns, tmp_path):
    images = (
        "images_001/images/00000001_000.png",
        *(f"images_002/images/0000000{n}_000.png" for n in (2, 3)),
    )
    found = converted("nih-chestxray14", lay_out(*images, texts=NIH))
    assert columns(found, "split", "label", "finding", "patient_id", "age", "sex", "view") == {
        images[0]: ("train", "abnormal", "Cardiomegaly; Emphysema", "1", "58", "M", "PA"),
        images[1]: ("train", "normal", "", "2", "81", "F", "AP"),
        images[2]: ("test", "normal", "", "3", "60", "F", "PA"),
    }
    assert marked(found, tmp_path, "00000001_000.png") == [[4, 2]]


def test_nih_without_its_lists_has_no_split_and_says_so(lay_out, converted):
    texts = {name: text for name, text in NIH.items() if "list.txt" not in name and "BBox" not in name}
    found = converted("nih-chestxray14", lay_out("images/00000002_000.png", texts=texts))
    assert found.manifest.counts() == {"": {"normal": 1}}
    assert any("no train_val_list.txt and no test_list.txt" in note for note in found.notes)
    assert any("no BBox_List_2017.csv" in note for note in found.notes)


def test_nih_without_its_table_is_refused(lay_out, converted):
    with pytest.raises(UserError, match=r"Data_Entry_2017\*.csv is missing"):
        converted("nih-chestxray14", lay_out("images/00000002_000.png"))


def test_chexpert_leaves_uncertain_findings_without_a_label(lay_out, converted, columns):
    found = converted("chexpert", lay_out(*CHEXPERT_FILMS, texts=CHEXPERT))
    assert columns(found, "split", "label", "finding", "patient_id", "study_id", "view", "sex", "age") == {
        "train/patient00001/study1/view1_frontal.jpg": (
            *("train", "normal", "", "patient00001", "patient00001-study1", "AP", "Female", "68"),
        ),
        "train/patient00002/study2/view1_frontal.jpg": (
            *("train", "abnormal", "Cardiomegaly; Pleural Effusion", "patient00002"),
            *("patient00002-study2", "PA", "Male", "40"),
        ),
        "train/patient00002/study2/view2_lateral.jpg": (
            *("train", "", "", "patient00002", "patient00002-study2", "lateral", "Male", "40"),
        ),
        "valid/patient64541/study1/view1_frontal.jpg": (
            *("validation", "normal", "", "patient64541", "patient64541-study1", "AP", "Male", "73"),
        ),
    }
    assert any("names 1 image that are not there" in note for note in found.notes)
    as_test = converted("chexpert", lay_out(), protocol="valid-as-test")
    assert "test" in as_test.manifest.counts()


def test_chexpert_with_other_paths_says_which_line(lay_out, converted):
    texts = {"train.csv": CHEXPERT_HEAD + "train/1.jpg,Male,40,Frontal,PA,1.0" + "," * 13 + "\n"}
    with pytest.raises(UserError, match=r"train.csv, line 2: 'train/1.jpg' is no path such as"):
        converted("chexpert", lay_out("train/1.jpg", texts=texts))
