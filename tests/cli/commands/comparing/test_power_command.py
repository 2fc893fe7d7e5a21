from typer.testing import CliRunner

from secondread.cli.application import app


def said(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, ["power", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def test_sizes_of_a_study_are_a_table_and_a_sentence() -> None:
    text = said("--auroc", 0.85, "--width", 0.1, "--prevalence", 0.3)
    assert "AUROC 0.85        84     196" in text
    assert "84 abnormal and 196 normal patients are enough: 280 at a prevalence of 30 %." in text


def test_every_figure_has_a_row_and_the_sentence_holds_for_all() -> None:
    text = said(
        "--auroc", 0.85, "--against", 0.8, "--sensitivity", 0.8, "--specificity", 0.95, "--prevalence", 0.2,
        "--false-alarm-rate", 0.05, "--at-most", 0.08,
    )  # fmt: skip
    for row in (
        "AUROC 0.85 against 0.8",
        "sensitivity 80 %",
        "specificity 95 %",
        "false alarms promised 5 %",
    ):
        assert row in text
    assert "264 abnormal and 1,056 normal patients are enough: 1,320 at a prevalence of 20 %." in text
    assert "259 calibration patients keep the realised rate of false alarms between" in text


def test_given_patients_say_how_wide_intervals_will_be() -> None:
    text = said("--auroc", 0.85, "--sensitivity", 0.8, "--against", 0.8, "--abnormal", 30, "--normal", 60)
    assert "The widest interval will be that of sensitivity 80 %: 0.309." in text
    assert "of such studies" in text
    text = said("--false-alarm-rate", 0.05, "--calibration", 12)
    assert "12 calibration patients can promise no false-alarm rate of 5 %: it needs 19." in text


def test_what_cannot_be_planned_is_one_line() -> None:
    for words, expected in (
        ((), "nothing to plan"),
        (("--auroc", 1.2), "does not lie between 0 and 1"),
        (("--against", 0.8), "needs the AUROC of the first"),
        (("--sensitivity", 0.8, "--normal", 30), "give the number of abnormal patients too"),
        (("--auroc", 0.8, "--abnormal", 0, "--normal", 3), "1 or more"),
        (("--auroc", 0.8, "--prevalence", 1), "a prevalence of 1.0 does not lie"),
    ):
        text = said(*words, code=2)
        assert expected in text
        assert len(text.strip().splitlines()) == 1
