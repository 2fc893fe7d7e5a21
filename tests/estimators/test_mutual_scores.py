import pytest
import torch

from secondread.estimators.mutual_scores import (
    MutualReference,
    least_distances,
    mutual_scores,
    smoothed_score,
)


def draw(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("most", [2**23, 40])
def test_distances_are_to_the_nearest_patch_of_each_image_that_is_there(monkeypatch, most):
    monkeypatch.setattr("secondread.estimators.mutual_scores.NUMBERS", most)
    patches, reference = draw(5, 3), draw(4, 6, 3, seed=1)
    there = torch.ones(4, 6, dtype=torch.bool)
    there[2, 1:] = False
    found = least_distances(patches, reference, there)
    expected = torch.cdist(patches, reference).masked_fill(~there[:, None], torch.inf).amin(dim=2).T
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_score_is_the_mean_of_the_nearest_share_of_other_patients():
    least = torch.tensor([[5.0, 1, 2, 3, 4, 9], [1, 1, 1, 1, 1, 1]])
    everyone, nobody = torch.arange(6), torch.zeros(6, dtype=torch.bool)
    torch.testing.assert_close(mutual_scores(least, everyone, nobody, 0.5), torch.tensor([2.0, 1.0]))
    torch.testing.assert_close(mutual_scores(least, everyone, nobody, 0.01), torch.tensor([1.0, 1.0]))
    torch.testing.assert_close(mutual_scores(least, everyone, nobody, 1.0), torch.tensor([4.0, 1.0]))
    itself = everyone == 1
    torch.testing.assert_close(mutual_scores(least, everyone, itself, 0.6), torch.tensor([3.0, 1.0]))


def test_a_patient_with_many_images_counts_once_and_is_left_out_whole():
    least = torch.tensor([[5.0, 1, 2, 3, 4, 9]])
    patients = torch.tensor([0, 1, 1, 1, 2, 3])
    nobody = torch.zeros(6, dtype=torch.bool)
    torch.testing.assert_close(mutual_scores(least, patients, nobody, 0.5), torch.tensor([2.5]))
    torch.testing.assert_close(mutual_scores(least, patients, patients == 1, 0.67), torch.tensor([4.5]))
    with pytest.raises(ValueError, match="no reference image of another patient"):
        mutual_scores(least, torch.zeros(6, dtype=torch.long), patients < 9, 0.5)


def test_a_reference_averages_its_forms_and_keeps_an_image_of_which_nothing_is_there():
    reference = MutualReference(2, 4, 3, torch.float16)
    patches, there = draw(5, 2, 4, 3), torch.ones(5, 4, dtype=torch.bool)
    there[3] = False
    reference.keep(patches[:2], there[:2], 0, 9)
    reference.keep(patches[2:], there[2:], 2, 9)
    assert reference.patches.dtype == torch.float16
    assert reference.bytes_per_image == 2 * 4 * 3 * 2
    assert reference.there.all()
    x, nobody = draw(2, 7, 3, seed=3), torch.zeros(5, dtype=torch.bool)
    expected = torch.stack(
        [
            torch.cdist(x[form], patches[:, form]).amin(2).T.sort(dim=1).values[:, :2].mean(1)
            for form in (0, 1)
        ]
    ).mean(0)
    found = reference(x, torch.arange(5), nobody, 0.5)
    torch.testing.assert_close(found, expected, atol=5e-3, rtol=5e-3)


def test_a_smoothed_score_is_the_mean_over_one_two_and_three_images():
    likeness, scores = torch.tensor([0.5, -0.2, 0.8]), torch.tensor([10.0, 100.0, 20.0])
    one, two = 4.0, (4 + 0.8 * 20) / 1.8
    three = (4 + 0.8 * 20 + 0.5 * 10) / 2.3
    found = smoothed_score(torch.tensor(4.0), likeness, scores, 3)
    torch.testing.assert_close(found, torch.tensor((one + two + three) / 3))
    assert smoothed_score(torch.tensor(4.0), likeness, scores, 1) == 4
    four = smoothed_score(torch.tensor(4.0), likeness, scores, 9)
    torch.testing.assert_close(four, torch.tensor((one + two + three + three) / 4))
