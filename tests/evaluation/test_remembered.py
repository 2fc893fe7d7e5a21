import numpy as np
import pytest

from secondread.evaluation.remembered import MOST, remembered


@pytest.fixture
def asked():
    asked = []

    @remembered
    def total(values, names, *, scale=1.0):
        asked.append(scale)
        return scale * values.sum() + len(names)

    total.asked = asked
    return total


def test_the_same_arrays_are_asked_once_and_others_anew(asked):
    values, names = np.arange(6.0), np.array(["a", "bc"])
    assert asked(values, names) == asked(values.copy(), names.copy()) == 17
    assert asked.asked == [1.0]
    assert asked(values, names, scale=2.0) == 32
    assert asked(values.reshape(2, 3)[:, :2], names) == 10
    assert asked(values.astype(np.float32), names) == 17
    assert asked(np.zeros(0), np.array([], str)) == 0
    assert len(asked.asked) == 5


def test_a_changed_array_is_another_question(asked):
    values, names = np.arange(6.0), np.array(["a"])
    first = asked(values, names)
    values[0] = 5
    assert asked(values, names) == first + 5


def test_only_the_last_answers_are_kept(asked):
    for number in range(MOST + 1):
        asked(np.full(1, float(number)), np.array(["a"]))
    asked(np.full(1, float(MOST)), np.array(["a"]))
    assert len(asked.asked) == MOST + 1
    asked(np.zeros(1), np.array(["a"]))
    assert len(asked.asked) == MOST + 2


def test_arrays_of_objects_are_refused(asked):
    with pytest.raises(TypeError, match="Python's objects"):
        asked(np.arange(2.0), np.array(["a", None], object))


def test_what_is_forgotten_is_asked_again(asked):
    for _ in range(2):
        asked(np.zeros(1), np.array(["a"]))
        asked.forget()
    assert len(asked.asked) == 2
