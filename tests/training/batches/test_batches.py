import numpy as np
import pytest

from secondread.errors import UserError
from secondread.training.planning.batch_plan import BatchPlan, counts_per_batch, shard


def plan(sizes, shares, batch_size=4, seed=0) -> BatchPlan:
    return BatchPlan(sizes, shares, batch_size, seed, "stage")


def test_an_epoch_sees_each_image_once_in_batches_of_nearly_one_size():
    batches = plan({"normal": 17}, {"normal": 1.0}, 16).epoch(0)
    assert [len(batch["normal"]) for batch in batches] == [9, 8]
    assert sorted(np.concatenate([batch["normal"] for batch in batches])) == list(range(17))


def test_epochs_differ_and_repeat_with_the_seed():
    first, again, other = (plan({"normal": 30}, {"normal": 1.0}, seed=seed) for seed in (0, 0, 1))

    def order(p: BatchPlan, epoch: int) -> list[int]:
        return np.concatenate([batch["normal"] for batch in p.epoch(epoch)]).tolist()

    assert order(first, 3) == order(again, 3)
    assert order(first, 3) != order(first, 4)
    assert order(first, 3) != order(other, 3)


def test_a_smaller_cohort_is_dealt_evenly_beside_a_larger_one():
    batches = plan({"normal": 40, "unlabelled": 5}, {"normal": 0.5, "unlabelled": 0.5}, 8).epoch(0)
    assert {name: len(rows) for name, rows in batches[0].items()} == {"normal": 4, "unlabelled": 4}
    dealt = np.concatenate([batch["unlabelled"] for batch in batches])
    assert np.bincount(dealt, minlength=5).tolist() == [8] * 5


def test_shares_add_up_to_the_batch_size():
    assert counts_per_batch({"normal": 0.7, "abnormal": 0.3}, 16) == {"normal": 11, "abnormal": 5}
    assert counts_per_batch({"normal": 0.99, "abnormal": 0.01}, 16) == {"normal": 15, "abnormal": 1}
    assert counts_per_batch({"a": 1 / 3, "b": 1 / 3, "c": 1 / 3}, 9) == {"a": 3, "b": 3, "c": 3}


def test_one_pass_in_order_holds_every_image_once():
    batches = plan({"normal": 9}, {"normal": 1.0}).in_order()
    assert [batch["normal"].tolist() for batch in batches] == [[0, 1, 2, 3], [4, 5, 6, 7], [8]]


def test_the_processes_parts_make_up_the_batch():
    batch = plan({"normal": 7}, {"normal": 1.0}, 7).epoch(0)[0]
    parts = [shard(batch, rank, 2)["normal"] for rank in range(2)]
    assert np.concatenate(parts).tolist() == batch["normal"].tolist()
    with pytest.raises(UserError, match="raise batch_size"):
        shard({"normal": np.arange(1)}, 0, 2)


def test_cohorts_without_shares_are_seen_whole_once_an_epoch_and_evenly():
    together = plan({"normal": 40, "unlabelled": 21}, {"normal": None, "unlabelled": None}, 8)
    for batches in (together.epoch(0), together.epoch(1)):
        assert len(batches) == 8
        for cohort, size in together.sizes.items():
            assert sorted(np.concatenate([batch[cohort] for batch in batches])) == list(range(size))
        assert {len(batch["normal"]) for batch in batches} == {5}
        assert {len(batch["unlabelled"]) for batch in batches} == {2, 3}
    passed = together.in_order()
    assert sum(len(rows) for batch in passed for rows in batch.values()) == 61


def test_a_cohort_smaller_than_the_number_of_batches_is_not_in_each():
    batches = plan({"normal": 40, "unlabelled": 3}, {"normal": None, "unlabelled": None}, 8).epoch(0)
    assert sum("unlabelled" in batch for batch in batches) == 3


def test_shares_are_given_to_all_cohorts_or_none():
    with pytest.raises(ValueError, match="None to others"):
        plan({"normal": 4, "unlabelled": 4}, {"normal": 0.5, "unlabelled": None})
