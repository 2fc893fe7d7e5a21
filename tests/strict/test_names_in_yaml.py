import pytest

from secondread.strict.plain_file import Unfit
from secondread.strict.yaml_text import parse_yaml


def test_a_name_may_be_a_word_that_yaml_takes_for_a_truth_value():
    assert parse_yaml("gate: {on: false, Off: yes}") == {"gate": {"on": False, "Off": True}}


def test_a_truth_value_is_no_name():
    with pytest.raises(Unfit, match="a name should be text"):
        parse_yaml("true: 1")
