import re

import numpy as np
import pytest
from made_readings import Made, make_readings

from secondread.drawing.palette import FINDINGS
from secondread.evaluation.evaluate import evaluate
from secondread.reports.figures import Inline, draw_figure, drawings


class Drawn:
    """The figures of these readings, each drawn when it is asked for; `test_report` has all of them."""

    def __init__(self, made: Made) -> None:
        made.write()
        (made.out / "acquisition.csv").unlink()  # no figure shows it, and trees on it take a second
        self.folder = made.folder
        self.evaluation = evaluate(made.csv, made.manifest, bootstrap=50, workers=0)
        self.drawings = drawings(self.evaluation)

    def __getitem__(self, name: str) -> Inline:
        return draw_figure(name, self.drawings[name], self.evaluation, self.folder)

    def __contains__(self, name: str) -> bool:
        return name in self.drawings


def texts(inline: Inline) -> str:
    return " | ".join(re.findall(r"<text[^>]*>([^<]*)</text>", inline.svg))


@pytest.fixture
def made(tmp_path):
    return make_readings(tmp_path, normal=14, abnormal=12)


def test_each_finding_has_a_curve_with_its_auroc_and_number(made):
    shown = texts(Drawn(made)["findings"])
    assert re.search(r"bright spot: AUROC [01]\.\d{3} \([^)]*\), n = 12", shown)
    assert re.search(r"double: AUROC [01]\.\d{3} \([^)]*\), n = 4", shown)
    assert "Against all 14 normal images" in shown


def test_youdens_point_is_called_an_oracle(made):
    assert "Youden’s point (oracle: chosen with labels)" in texts(Drawn(made)["findings"])


def test_only_the_commonest_findings_are_drawn(made):
    for number, row in enumerate(row for row in made.rows if row["label"] == "abnormal"):
        row["finding"] = "; ".join(f"finding {name}" for name in range(number + 1))
    shown = texts(Drawn(made)["findings"])
    assert shown.count("AUROC") == len(FINDINGS) == 8
    assert "finding 7:" in shown
    assert "finding 8:" not in shown


def test_normals_alone_have_no_findings_figure(tmp_path):
    assert "findings" not in Drawn(make_readings(tmp_path, normal=12, abnormal=0))


def test_each_part_has_a_panel_with_its_auroc(made):
    made.give_part("likelihood", np.arange(26), tail="two", weight=0.5)
    made.give_part("latent", np.arange(26))
    figure = Drawn(made)["parts"]
    shown = texts(figure)
    assert figure.wide
    assert all(f"{name}: AUROC" in shown for name in ("brightest", "likelihood"))
    assert "latent: AUROC 1.000" in shown
    assert "far from the line = more abnormal" in shown
    assert "higher = more abnormal; not in the score" in shown


def test_one_part_makes_a_narrow_figure(made):
    assert not Drawn(made)["parts"].wide


def test_the_score_and_every_other_part_stand_against_the_background(made):
    made.give_part("likelihood", -np.arange(26), weight=1.0)
    made.give_part("background", np.arange(26) / 26)
    shown = texts(Drawn(made)["background"])
    assert "likelihood: ρ = −1.00 among normals" in shown
    assert "score: ρ" in shown
    assert "background: ρ" not in shown


def test_without_background_there_is_no_such_figure(made):
    assert "background" not in Drawn(made)


def test_constant_parts_are_drawn(made):
    made.give_part("likelihood", np.zeros(26), weight=1.0).give_part("background", np.zeros(26))
    shown = texts(Drawn(made)["background"])
    assert "likelihood: ρ = – among normals" in shown


def training(epochs: int = 4, **measured: list[float | None]) -> dict:
    """A training log as a bundle's provenance has it: one stage that only collected, one that trained."""
    logged = [
        {
            "epoch": number,
            "losses": {"critic.gap": 2.0 - number, "generator.fool": 1.0, "generator.size": 0.5},
            "validation": 1.0 / (1 + number),
            "measured": {rule: values[number] for rule, values in measured.items()},
        }
        for number in range(epochs)
    ]
    trained = {"name": "game", "epochs": logged, "chosen_epoch": 2, "rule": "highest AUROC of …"}
    return {"training": {"stages": [{"name": "moments", "epochs": [], "chosen_epoch": None}, trained]}}


def test_training_shows_losses_measured_values_and_the_epoch_that_stayed(made):
    made.run["provenance"] = training(synthetic=[0.5, 0.6, 0.8, 0.7], unlabelled=[0.5, None, 0.6, 0.55])
    shown = texts(Drawn(made)["training"])
    assert "game: loss" in shown
    assert "game: AUROC without labels" in shown
    assert shown.count("kept: epoch 3") == 2
    assert "training loss: critic" in shown
    assert "training loss: generator" in shown
    assert "held-out normals" in shown
    assert "synthetic anomalies" in shown
    assert "unlabelled (AUCp)" in shown
    assert "moments" not in shown


def test_training_without_measured_values_shows_losses_alone(made):
    log = training()
    for epoch in log["training"]["stages"][1]["epochs"]:
        del epoch["measured"]
    made.run["provenance"] = log
    figure = Drawn(made)["training"]
    assert not figure.wide
    assert "AUROC without labels" not in texts(figure)


def test_a_fit_of_one_epoch_has_no_training_figure(made):
    made.run["provenance"] = training(epochs=1)
    assert "training" not in Drawn(made)
