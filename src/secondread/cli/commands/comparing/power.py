"""`secondread power`: how many patients a study needs, or how sure its figures will be."""

from __future__ import annotations

from typing import Annotated

import typer

from secondread.cli.failures import one_line


@one_line("run the same command again")
def power(
    auroc: Annotated[
        float | None, typer.Option("--auroc", metavar="AREA", help="AUROC that is expected.")
    ] = None,
    sensitivity: Annotated[
        float | None, typer.Option("--sensitivity", metavar="SHARE", help="Sensitivity that is expected.")
    ] = None,
    specificity: Annotated[
        float | None, typer.Option("--specificity", metavar="SHARE", help="Specificity that is expected.")
    ] = None,
    width: Annotated[
        float, typer.Option("--width", metavar="WIDTH", help="Width of the 95 % interval, from end to end.")
    ] = 0.1,
    prevalence: Annotated[
        float | None,
        typer.Option(
            "--prevalence",
            metavar="SHARE",
            help="Share of abnormal patients in the test.",
            show_default="half for the AUROC",
        ),
    ] = None,
    against: Annotated[
        float | None,
        typer.Option("--against", metavar="AREA", help="Another method's AUROC on the same patients."),
    ] = None,
    correlation: Annotated[
        float, typer.Option("--correlation", metavar="R", help="Correlation of the two AUROCs.")
    ] = 0.5,
    chance: Annotated[
        float, typer.Option("--power", metavar="SHARE", help="Chance of finding these two different.")
    ] = 0.8,
    false_alarm_rate: Annotated[
        float | None,
        typer.Option("--false-alarm-rate", metavar="SHARE", help="Rate of false alarms to be promised."),
    ] = None,
    at_most: Annotated[
        float | None,
        typer.Option(
            "--at-most",
            metavar="SHARE",
            help="What the realised rate shall not exceed in 97.5 % of calibration sets.",
            show_default="twice the promised rate",
        ),
    ] = None,
    abnormal: Annotated[
        int | None, typer.Option("--abnormal", metavar="N", help="Abnormal test patients that there are.")
    ] = None,
    normal: Annotated[
        int | None, typer.Option("--normal", metavar="N", help="Normal test patients that there are.")
    ] = None,
    calibration: Annotated[
        int | None, typer.Option("--calibration", metavar="N", help="Calibration patients that there are.")
    ] = None,
) -> None:
    """Say how many patients a study needs.

    Without numbers of patients: how many give intervals so narrow. With --abnormal, --normal or
    --calibration: how wide the intervals of so many will be.
    """
    from secondread.metrics.planning.plan import plan_study

    typer.echo(
        plan_study(
            auroc=auroc,
            sensitivity=sensitivity,
            specificity=specificity,
            width=width,
            prevalence=prevalence,
            against=against,
            correlation=correlation,
            power=chance,
            false_alarm_rate=false_alarm_rate,
            at_most=at_most,
            abnormal=abnormal,
            normal=normal,
            calibration=calibration,
        )
    )
