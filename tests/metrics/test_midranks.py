import numpy as np
import pytest
from scipy.stats import rankdata

from secondread.metrics.midranks import midranks


def test_ties_share_the_mean_of_their_ranks_row_by_row_as_in_scipy():
    rows = np.random.default_rng(0).integers(0, 9, size=(3, 50)).astype(float)
    np.testing.assert_array_equal(midranks(rows), rankdata(rows, axis=1))
    np.testing.assert_array_equal(midranks([np.inf, -np.inf, 0, np.inf]), [3.5, 1, 2, 3.5])


def test_what_is_no_number_has_no_rank():
    with pytest.raises(ValueError, match="no rank"):
        midranks([1.0, np.nan])
