from collections import Counter
from pathlib import Path

import pytest
from pydantic import ValidationError

import secondread
from secondread.comparison.writing.published import METRICS, PublishedRow, datasets, published
from secondread.errors import UserError

EVERYTHING = tuple(row for key in datasets() for row in published(key))


def test_every_row_is_whole_and_its_value_lies_in_range():
    assert len(EVERYTHING) > 200
    for row in EVERYTHING:
        assert PublishedRow.model_validate(row.model_dump()) == row
        assert 0 <= row.value <= 1
        assert row.spread is None or 0 <= row.spread < 0.5
        assert row.metric in METRICS
        assert row.source
        assert row.read.startswith(("paper", "secondary: "))


def test_no_number_is_given_twice():
    counts = Counter((row.system, row.dataset, row.protocol, row.metric) for row in EVERYTHING)
    assert [key for key, count in counts.items() if count > 1] == []


def test_ae_flow_and_its_student_reproduction_stand_beside_each_other():
    found = {row.system: row for row in published("kermany-cxr", ["auroc"])}
    assert found["AE-FLOW"].value == 0.92
    assert found["AE-FLOW"].read.startswith("secondary")
    assert found["AE-FLOW (student reproduction)"].value == 0.7304
    assert "dropped" in found["AE-FLOW (student reproduction)"].protocol


def test_one_name_of_a_data_set_has_several_protocols():
    protocols = {row.protocol for row in published("rsna", ["auroc"])}
    assert sum("DDAD repartition" in protocol for protocol in protocols) >= 2
    assert any("17,194 test" in protocol for protocol in protocols)
    assert any("13,863 abnormal" in protocol for protocol in protocols)


def test_metrics_choose_rows_and_a_spread_is_kept():
    rows = published("brats2021", ("dice", "pixel_average_precision"))
    assert {row.metric for row in rows} == {"dice", "pixel_average_precision"}
    (memae,) = (row for row in published("brats2021", ["auroc"]) if row.spread is not None)
    assert (memae.system, memae.value, memae.spread) == ("MemAE", 0.639, 0.077)


def test_an_unknown_data_set_or_metric_is_told_with_the_known_ones():
    with pytest.raises(UserError, match=r"'kermany'; there are some on .*kermany-cxr.*rsna"):
        published("kermany")
    with pytest.raises(UserError, match=r"'auc' is no metric .*auroc"):
        published("rsna", ["auc"])


@pytest.mark.parametrize(
    "wrong",
    [{"value": 92.0}, {"protocol": ""}, {"metric": "auc"}, {"read": "from memory"}, {"dataset": "A B"}],
)
def test_a_row_that_lacks_what_a_reader_needs_is_refused(wrong):
    whole = EVERYTHING[0].model_dump()
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        PublishedRow.model_validate({**whole, **wrong})


def test_the_numbers_ship_with_the_package():
    declared = Path(secondread.__file__).parents[2] / "pyproject.toml"
    assert '"comparison/writing/published_numbers/*.yaml"' in declared.read_text(encoding="utf-8")
