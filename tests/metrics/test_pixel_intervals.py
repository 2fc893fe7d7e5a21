import numpy as np
import pytest

from secondread.metrics.pixel_intervals import _areas, _grouped, _pro, pixel_intervals
from secondread.metrics.pixels import PixelAccumulator

THRESHOLD = 1.0


def sample(random, ill=20, healthy=15, copies=1, apart=False):
    """Maps whose lesions are found to a degree that differs between patients; each `copies` times, of one
    patient or of patients `apart`."""
    found = PixelAccumulator(threshold=THRESHOLD)
    for patient in range(ill + healthy):
        values = random.normal(size=(16, 16)).astype(np.float32)
        mask = np.zeros((16, 16), bool)
        if patient < ill:
            mask[4:8, 4:9] = True
            values[mask] += random.normal(1.5, 0.6)
        for copy in range(copies):
            found.add(values, mask, patient=(patient, copy) if apart else patient)
    return found


def intervals(found, **options):
    return pixel_intervals(found.patients, found.result(), repeats=200, **options)


def test_every_figure_lies_in_its_interval():
    found = sample(np.random.default_rng(0))
    metrics, pairs = found.result(), intervals(found)
    names = ("auroc", "average_precision", "pro", "dice", "dice_per_patient", "false_positive_share")
    assert set(pairs) == set(names)
    for name in names:
        low, high = pairs[name]
        assert low < getattr(metrics, name) < high, name
        assert high - low < 0.25, name
    assert intervals(found) == pairs
    assert intervals(found, seed=1) != pairs


def test_put_together_bins_keep_the_figures():
    found = sample(np.random.default_rng(1))
    metrics, (abnormal, normal, shares) = found.result(), _grouped(found.patients)
    assert abnormal.shape[1] <= 512
    areas = _areas(abnormal.sum(0)[None], normal.sum(0)[None])
    assert areas["auroc"][0] == pytest.approx(metrics.auroc, abs=0.002)
    assert areas["average_precision"][0] == pytest.approx(metrics.average_precision, abs=0.01)
    lesions = np.array([float(sum(patient.lesions for patient in found.patients))])
    pro = _pro(shares.sum(0)[None], normal.sum(0)[None], lesions, metrics.pro_limit)
    assert pro[0] == pytest.approx(metrics.pro, abs=0.005)


def test_more_images_of_a_patient_do_not_narrow_them_as_more_patients_do():
    single, repeated, apart = (
        intervals(sample(np.random.default_rng(2), **options))
        for options in ({}, {"copies": 4}, {"copies": 4, "apart": True})
    )
    for name in single:
        assert repeated[name] == pytest.approx(single[name], abs=1e-6)
        assert np.ptp(apart[name]) < 0.7 * np.ptp(single[name])


def test_few_patients_give_none():
    found = sample(np.random.default_rng(3), ill=5, healthy=12)
    assert set(intervals(found)) == {"false_positive_share"}
    assert intervals(sample(np.random.default_rng(3), ill=5, healthy=5)) == {}
