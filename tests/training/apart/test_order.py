import pytest

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.training.apart.order import Order
from secondread.training.apart.stages_apart import independent


def stage(name, follows=None, score=None):
    return Stage(name, {"normal": 1.0}, follows=follows, score=score)


def test_stages_that_do_not_build_on_one_another_are_beside_one_another():
    order = Order.of([stage("a"), stage("b", ()), stage("c", ("a",)), stage("d")])
    assert order.beside == {"a": ["b"], "b": ["a", "c"], "c": ["b"], "d": []}
    assert order.ready([]) == [0, 1]
    assert order.ready(["a"]) == [1, 2]
    assert order.ready(["a", "b", "c"]) == [3]


def test_a_stage_cannot_follow_one_that_is_not_before_it():
    with pytest.raises(ValueError, match="'a' follows 'b', which is not before it"):
        Order.of([stage("a", ("b",)), stage("b")])


def test_threads_are_shared_by_what_may_run_at_the_same_time_whatever_does():
    order = Order.of([stage("a"), stage("b", ()), stage("c", ()), stage("d")])
    assert [order.threads(name, 8) for name in "abcd"] == [2, 2, 2, 8]
    assert order.threads("a", 2) == 1


def test_a_chain_of_stages_is_not_apart_and_neither_is_one_whose_epochs_the_whole_score_measures():
    assert independent([stage("a"), stage("b")], {}) is None
    assert independent([stage("a"), stage("b", ("a",))], {}) is None
    watched = {"b": StageSettings(epochs=1, watch=("synthetic",))}
    assert independent([stage("a"), stage("b", ())], watched) is None
    assert independent([stage("a"), stage("b", (), lambda *given: None)], watched) is not None
