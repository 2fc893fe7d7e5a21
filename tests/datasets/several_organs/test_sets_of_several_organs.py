import numpy as np
import pytest

from secondread.errors import UserError

MOOD = (
    "brain/brain_train/00000.nii.gz",
    "brain/brain_train/00001.nii.gz",
    *("brain/toy/toy_0.nii.gz", "brain/toy_label/pixel/toy_0.nii.gz"),
    *("brain/toy/toy_1.nii.gz", "brain/toy_label/pixel/toy_1.nii.gz"),
    "abdom/abdom_train/00000.nii.gz",
)
TOY = {"brain/toy_label/sample/toy_0.nii.gz.txt": "1\n", "brain/toy_label/sample/toy_1.nii.gz.txt": "0"}


@pytest.fixture
def archive(tmp_path):
    def write(name, labels, path=None):
        arrays = {}
        for split, values in labels.items():
            values = np.array(values).reshape(len(values), -1)
            arrays[f"{split}_images"] = np.zeros((len(values), 8, 8), np.uint8)
            arrays[f"{split}_labels"] = values
        folder = tmp_path / "medmnist"
        folder.mkdir(exist_ok=True)
        np.savez(folder / name, **arrays)
        return folder / name

    return write


def test_mood_has_a_toy_set_with_labels(lay_out, converted, columns):
    found = converted("mood", lay_out(*MOOD, texts=TOY))
    assert columns(found, "split", "label", "patient_id", "mask", "organ") == {
        "abdom/abdom_train/00000.nii.gz": ("train", "normal", "abdom-00000", "", "abdom"),
        "brain/brain_train/00000.nii.gz": ("train", "normal", "brain-00000", "", "brain"),
        "brain/brain_train/00001.nii.gz": ("train", "normal", "brain-00001", "", "brain"),
        "brain/toy/toy_0.nii.gz": (
            *("test", "abnormal", "brain-toy_0", "brain/toy_label/pixel/toy_0.nii.gz", "brain"),
        ),
        "brain/toy/toy_1.nii.gz": ("test", "normal", "brain-toy_1", "", "brain"),
    }
    assert "--where organ=" in found.guessed[0]


def test_mood_gives_one_organ(lay_out, converted):
    folder = lay_out(*MOOD, texts=TOY)
    assert len(converted("mood", folder, part="abdom").manifest) == 1
    assert len(converted("mood", folder / "brain").manifest) == 4
    with pytest.raises(UserError, match="--part colon: no such organ; there are abdom, brain"):
        converted("mood", folder, part="colon")


def test_a_toy_of_mood_without_its_label_is_refused(lay_out, converted):
    with pytest.raises(UserError, match=r"toy_1.nii.gz.txt: missing, and says whether brain/toy/toy_1"):
        converted("mood", lay_out(*MOOD, texts=dict([*TOY.items()][:1])))
    with pytest.raises(UserError, match="'maybe' where 0"):
        converted("mood", lay_out(texts={**TOY, "brain/toy_label/sample/toy_1.nii.gz.txt": "maybe"}))


def test_medmnist_knows_which_class_of_a_set_is_normal(archive, converted, columns):
    file = archive("octmnist_64.npz", {"train": [3, 0], "val": [3], "test": [2]})
    assert columns(converted("medmnist", file.parent), "split", "label", "finding") == {
        "octmnist_64.npz#test_images/0": ("test", "abnormal", "drusen"),
        "octmnist_64.npz#train_images/0": ("train", "normal", ""),
        "octmnist_64.npz#train_images/1": ("train", "abnormal", "choroidal neovascularization"),
        "octmnist_64.npz#val_images/0": ("validation", "normal", ""),
    }


def test_medmnist_with_several_labels_has_images_without_any_as_normal(archive, converted, columns):
    file = archive("chestmnist.npz", {"train": [[0] * 14, [1, 0, 1, *[0] * 11]]})
    assert [*columns(converted("medmnist", file), "label", "finding").values()] == [
        ("normal", ""),
        ("abnormal", "atelectasis; effusion"),
    ]


def test_medmnist_asks_which_classes_are_normal_where_none_is(archive, converted, columns):
    file = archive("bloodmnist.npz", {"train": [0, 6], "test": [1]})
    with pytest.raises(UserError, match="which of its classes are normal"):
        converted("medmnist", file)
    found = converted("medmnist", file, normal=("0", "6"))
    assert [*columns(found, "label", "finding").values()] == [
        ("abnormal", "class-1"),
        ("normal", "class-0"),
        ("normal", "class-6"),
    ]


def test_medmnist_asks_which_archive_of_several(archive, converted):
    archive("octmnist.npz", {"train": [3]})
    folder = archive("breastmnist.npz", {"train": [1]}).parent
    with pytest.raises(UserError, match=r"2 archives fit .* give --part, of breastmnist.npz, octmnist.npz"):
        converted("medmnist", folder)
    assert len(converted("medmnist", folder, part="octmnist").manifest) == 1
