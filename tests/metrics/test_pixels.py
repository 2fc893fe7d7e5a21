import numpy as np
import pytest
from scipy import ndimage
from sklearn import metrics as reference

from secondread.metrics.ordered_bins import bin_of, lower_edge
from secondread.metrics.pixels import PixelAccumulator


def lesions(seed, n=6, size=(24, 24)):
    random = np.random.default_rng(seed)
    cases = []
    for i in range(n):
        mask = np.zeros(size, bool)
        for _ in range(i % 3):
            corner = [random.integers(0, s - 6) for s in size]
            mask[tuple(slice(c, c + int(random.integers(2, 6))) for c in corner)] = True
        cases.append(((random.normal(size=size) + 1.5 * mask).astype(np.float32), mask, f"p{i // 2}"))
    return cases


def result_of(cases, **options):
    accumulator = PixelAccumulator(**options)
    for values, mask, patient in cases:
        accumulator.add(values, mask, patient=patient)
    return accumulator.result()


@pytest.mark.parametrize("size", [(24, 24), (9, 10, 11)])
def test_areas_equal_scikit_learn_within_the_stated_binning_error(size):
    cases = lesions(0, size=size)
    found = result_of(cases)
    labels = np.concatenate([m.ravel() for _, m, _ in cases])
    scores = np.concatenate([v.ravel() for v, _, _ in cases])
    assert abs(found.auroc - reference.roc_auc_score(labels, scores)) <= found.auroc_error + 1e-12
    assert abs(found.average_precision - reference.average_precision_score(labels, scores)) <= (
        found.average_precision_error + 1e-12
    )
    assert found.auroc_error < 1e-3
    assert found.average_precision_error < 2e-2


def test_values_that_bins_hold_exactly_give_exact_areas():
    cases = [(np.round(v * 8) / 8, m, p) for v, m, p in lesions(1)]
    found = result_of(cases)
    labels = np.concatenate([m.ravel() for _, m, _ in cases])
    scores = np.concatenate([v.ravel() for v, _, _ in cases])
    assert found.auroc == pytest.approx(reference.roc_auc_score(labels, scores), abs=1e-12)
    assert found.average_precision == pytest.approx(
        reference.average_precision_score(labels, scores), abs=1e-12
    )
    best = max(
        2 * ((scores >= t) & labels).sum() / ((scores >= t).sum() + labels.sum()) for t in np.unique(scores)
    )
    assert found.dice_oracle.dice == pytest.approx(best, abs=1e-12)
    at_best = scores >= found.dice_oracle.threshold
    assert 2 * (at_best & labels).sum() / (at_best.sum() + labels.sum()) == pytest.approx(best, abs=1e-12)


def test_pro_equals_its_definition():
    cases = [(np.round(v * 4) / 4, m, p) for v, m, p in lesions(2)]
    regions = []
    for values, mask, _ in cases:
        labelled, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += [values[labelled == k + 1] for k in range(count)]
    normal = np.concatenate([v[~m] for v, m, _ in cases])
    thresholds = np.unique(np.concatenate([v.ravel() for v, _, _ in cases]))[::-1]
    rate = np.array([0.0, *[(normal >= t).mean() for t in thresholds]])
    overlap = np.array([0.0, *[np.mean([(r >= t).mean() for r in regions]) for t in thresholds]])
    inside = rate < 0.3
    x = np.append(rate[inside], 0.3)
    y = np.append(overlap[inside], np.interp(0.3, rate, overlap))
    assert result_of(cases).pro == pytest.approx(np.trapezoid(y, x) / 0.3, abs=1e-12)


def test_a_perfect_map_is_perfect():
    found = result_of([(m.astype(np.float32), m, p) for _, m, p in lesions(3)], threshold=0.5)
    assert found.auroc == found.average_precision == 1.0
    assert found.dice == found.dice_per_patient == found.dice_oracle.dice == 1.0
    assert found.dice_per_patient_oracle.dice == 1.0
    assert found.pro == pytest.approx(1.0)


def test_dice_at_a_given_threshold_is_exact_pooled_and_per_patient():
    cases = lesions(4)
    found = result_of(cases, threshold=1.1)
    pooled = [np.concatenate([c[i].ravel() for c in cases]) for i in (0, 1)]
    called = pooled[0] >= 1.1
    assert found.dice == pytest.approx(
        2 * (called & pooled[1]).sum() / (called.sum() + pooled[1].sum()), abs=1e-12
    )
    each = []
    for patient in ("p0", "p1", "p2"):
        values = np.concatenate([v.ravel() for v, _, p in cases if p == patient])
        mask = np.concatenate([m.ravel() for _, m, p in cases if p == patient])
        if mask.any():
            each.append(2 * ((values >= 1.1) & mask).sum() / ((values >= 1.1).sum() + mask.sum()))
    assert found.dice_per_patient == pytest.approx(np.mean(each), abs=1e-12)
    assert found.dice_per_patient_oracle.dice >= found.dice_per_patient - 0.02


def test_order_and_patients_apart_do_not_change_the_pooled_numbers():
    cases = lesions(5)
    assert result_of(cases).auroc == result_of(cases[::-1]).auroc
    assert result_of(cases).pro == pytest.approx(result_of(cases[::-1]).pro, abs=1e-12)


def test_invalid_pixels_do_not_count():
    cases = lesions(6)
    plain, padded = PixelAccumulator(threshold=1.0), PixelAccumulator(threshold=1.0)
    for values, mask, patient in cases:
        plain.add(values, mask, patient=patient)
        wide = np.pad(values, 4, constant_values=np.nan)
        padded.add(wide, np.pad(mask, 4), patient=patient, valid=np.pad(np.ones_like(mask), 4))
    assert padded.result() == plain.result()


def test_a_healthy_patient_gives_a_false_positive_share():
    accumulator = PixelAccumulator(threshold=0.0)
    accumulator.add(np.array([[1.0, -1.0]]), None, patient="healthy")
    accumulator.add(np.array([[1.0, -1.0]]), np.array([[1, 0]]), patient="ill")
    found = accumulator.result()
    assert found.false_positive_share == 0.5
    assert found.patients_with_lesion == 1
    assert found.dice_per_patient == 1.0


def test_wrong_maps_are_refused():
    accumulator = PixelAccumulator()
    with pytest.raises(ValueError, match="differ in shape"):
        accumulator.add(np.zeros((3, 3)), np.zeros((3, 4)))
    with pytest.raises(ValueError, match="map 0 holds a pixel that is not finite"):
        accumulator.add(np.full((2, 2), np.nan), None)
    accumulator.add(np.zeros((3, 3)), None)
    with pytest.raises(ValueError, match="no abnormal pixel"):
        accumulator.result()


def test_bins_keep_order_and_their_edges():
    random = np.random.default_rng(0)
    values = np.concatenate([random.normal(size=500) * 10.0 ** random.integers(-20, 20, 500), [0.0, -0.0]])
    values = np.sort(values.astype(np.float32))
    bins = bin_of(values, 20)
    assert (np.diff(bins) >= 0).all()
    assert bin_of(np.float32([0.0]), 20) == bin_of(np.float32([-0.0]), 20)
    edges = lower_edge(bins, 20)
    assert (edges <= values).all()
    np.testing.assert_array_equal(bin_of(edges.astype(np.float32), 20), bins)
    assert (np.abs(values - edges) <= np.abs(values) * 2.0**-10).all()
