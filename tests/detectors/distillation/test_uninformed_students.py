import pytest
import torch
from in_memory import blobs, fit, score, train_on

from secondread.detectors.contract import Batch
from secondread.detectors.detector_settings import StageSettings
from secondread.detectors.distillation.uninformed_students import (
    UninformedStudents,
    UninformedStudentsSettings,
)
from secondread.recipes.build import build_detector
from secondread.recipes.recipe import Recipe

SIZE = (36, 36)


def make(**changes):
    form = UninformedStudents.tiny(2)
    settings = UninformedStudentsSettings.model_validate(
        {**form.settings.model_dump(), "descriptor": 4, **changes}
    )
    return UninformedStudents(settings, form.channels, SIZE)


def described(detector, images):
    """The standardised teacher's descriptors of each side, and those of its students."""
    with torch.no_grad():
        for number, network in enumerate(detector.teachers.networks):
            around = network.around(images)
            own = [student(around, dense=True) for student in detector.students[number]]
            yield detector.standards[number](network(around, dense=True)), torch.stack(own)


def test_the_paper_preset_has_the_papers_shapes_and_values():
    recipe = Recipe.load("uninformed-students-paper")
    with torch.device("meta"):
        detector = build_detector(recipe, pretrained=False)
        given = list(detector.disagreement(torch.empty(1, 3, 256, 256)))
    assert [x.shape for x in given] == [(1, 2, 256, 256)] * 3
    assert [[own.side for own in students] for students in detector.students] == [
        [p] * 3 for p in (17, 33, 65)
    ]
    assert [layer.weight.shape for layer in detector.teachers.decoders] == [(512, 128)] * 3
    teacher, students = recipe.stages["teacher"], recipe.stages["students"]
    assert (teacher.steps, teacher.batch_size, teacher.optimiser.lr) == (50_000, 64, 2e-4)
    assert (students.epochs, students.batch_size, students.optimiser.lr) == (100, 1, 1e-4)
    assert teacher.optimiser.weight_decay == students.optimiser.weight_decay == 1e-5


def test_the_map_is_the_mean_over_sides_of_error_and_variance_each_standardised():
    detector, images = make(patches=(17, 33)), blobs(3, SIZE)
    fit(detector, images, steps=2)
    assert float(detector.deviations.min()) > 0
    rows = []
    for number, (target, own) in enumerate(described(detector, images)):
        error = (own.mean(dim=0) - target).square().sum(dim=1, keepdim=True)
        variance = own.var(dim=0, unbiased=False).sum(dim=1, keepdim=True)
        means, deviations = detector.means[number], detector.deviations[number]
        rows.append((error - means[0]) / deviations[0] + (variance - means[1]) / deviations[1])
    expected = (rows[0] + rows[1]) / 2
    shown = score(detector, images)
    torch.testing.assert_close(shown.maps["distance"], expected, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(shown.parts["distance"].values, shown.maps["distance"].flatten(1).amax(dim=1))


def test_the_moments_are_those_of_held_out_normals_and_else_of_training_normals():
    normal, held_out = blobs(6, SIZE), blobs(4, SIZE, seed=5)
    stages = {name: StageSettings(steps=2, batch_size=3) for name in ("teacher", "students")}
    for cohorts, source in (({}, normal), ({"validation": held_out}, held_out)):
        detector = make()
        train_on(detector, {"normal": normal, **cohorts}, stages)
        with torch.no_grad():
            (both,) = detector.disagreement(source)
        torch.testing.assert_close(detector.means[0], both.mean(dim=(0, 2, 3)), atol=1e-5, rtol=1e-4)
        spread = both.std(dim=(0, 2, 3), unbiased=False)
        torch.testing.assert_close(detector.deviations[0], spread, atol=1e-5, rtol=1e-3)


def test_the_students_loss_is_the_squared_distance_from_the_standardised_teacher():
    detector, images = make(patches=(33,)), blobs(3, SIZE)
    fit(detector, images, steps=1)
    with torch.no_grad():
        loss = detector.loss({"normal": Batch(images)}, torch.Generator())["patches of 33"]
    ((target, own),) = described(detector, images)
    torch.testing.assert_close(loss, (own - target).square().sum(dim=2).mean(dim=(1, 2, 3)).sum())


def test_a_coarse_grid_is_a_part_of_the_dense_one_and_moves():
    detector, images = make(patches=(33,), dense="scoring"), blobs(2, SIZE)
    network, generator = detector.teachers.each()[0], torch.Generator().manual_seed(0)
    moves = {detector._moved(network, False, generator) for _ in range(40)}
    assert len(moves) > 8
    assert all(0 <= step < 4 for move in moves for step in move)
    with torch.no_grad():
        around = network.around(images)
        coarse, dense = network(around[..., 3:, 1:]), network(around, dense=True)
    torch.testing.assert_close(coarse, dense[..., 3::4, 1::4])
    valid = torch.rand(2, 1, *SIZE) > 0.3
    found = detector._valid(Batch(images, valid), network, False, (3, 1))
    assert torch.equal(found, valid[..., 3::4, 1::4])


def test_students_learn_and_a_lesion_raises_the_map_where_it_lies():
    detector = make(patches=(33,), width=8, descriptor=8, dense="never")
    images = blobs(16, SIZE)
    teacher_losses, student_losses = fit(detector, images, steps=30, lr=3e-3).values()
    assert student_losses[-1] < 0.7 * student_losses[0]
    assert teacher_losses[-1] < teacher_losses[0]
    healthy, ill = (blobs(8, SIZE, seed=9, lesion=lesion) for lesion in (False, True))
    before, after = (score(detector, images).maps["distance"].mean(dim=(0, 1)) for images in (healthy, ill))
    change = after - before
    assert float(change[16:25, 16:25].mean()) > 1.5 * float(change.mean()) > 0


def test_padding_does_not_count():
    detector, images = make(), blobs(4, SIZE)
    fit(detector, images, steps=2)
    valid = torch.ones(4, 1, *SIZE, dtype=torch.bool)
    valid[..., 20:] = False
    shown = score(detector, images).maps["distance"][..., :20].flatten(1)
    torch.testing.assert_close(score(detector, images, valid).parts["distance"].values, shown.amax(dim=1))
    with torch.no_grad():
        (both,), sums = detector.disagreement(images), detector.sums(Batch(images, valid))
    count, first, _ = sums[0].float()
    assert int(count[0]) == valid.sum()
    torch.testing.assert_close(first, both[..., :20].sum(dim=(0, 2, 3)), rtol=1e-4, atol=1e-3)


def test_images_smaller_than_half_a_patch_are_refused():
    form = UninformedStudents.tiny(2)
    with pytest.raises(ValueError, match="patches of 17 pixels need images of at least 9 along"):
        UninformedStudents(form.settings, 1, (16, 8))


@pytest.mark.parametrize("there", [("normal",), ("normal", "auxiliary")])
def test_teachers_learn_from_auxiliary_images_alone_where_there_are_any(there):
    detector, seen = make(), []
    loss = detector.teachers.loss

    def watched(batches, generator):
        seen.append(tuple(batches))
        return loss(batches, generator)

    detector.teachers.loss = watched
    stages = {name: StageSettings(steps=2, batch_size=3) for name in ("teacher", "students")}
    train_on(detector, {name: blobs(6, SIZE) for name in there}, stages)
    assert seen == [there[-1:]] * 2
