"""All stages of a detector of which some may be trained at the same time, in any number of processes.

Every stage is a piece (`training.apart.piece`), here as well as in other processes, so that the numbers are
the same. This process begins alone. Where what is left takes much longer than processes take to start, it
saves what it is at and hands it over; then as many processes as the fit was given work, each at one stage,
the longest first. A stage that nothing else can run beside is trained here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch

from secondread.detectors.contract import Stage
from secondread.detectors.detector_settings import StageSettings
from secondread.images.workers.cores import available_cores
from secondread.images.workers.memory import available_bytes
from secondread.outputs.whole import remove_folder
from secondread.training.apart.crew import Crew
from secondread.training.apart.order import Order
from secondread.training.apart.piece import FOLDER, Piece, State, log_in, result_of, run_piece
from secondread.training.fit_state import HandOver, Run
from secondread.training.one_stage import stage_settings
from secondread.training.planning.planned_stages import PlannedStage
from secondread.wording.sizes import in_words

TIMED_S = 5.0
"""Seconds of training here, from which is told how long the rest takes."""
WORTH_S = 60.0
"""Seconds of training in this process that should be left for others to pay."""
PROCESS_BYTES = 700 << 20
"""About what a process holds beside images, parameters and their gradients, activations included."""
MEMORY_SHARE = 0.8
"""Of the available memory, which the processes may take."""


@dataclass
class StagesApart:
    """planned    the stages' lengths
    processes  at most
    threads    that torch has here
    results    by stage: what differs from its beginning"""

    run: Run
    order: Order
    settings: Mapping[str, StageSettings]
    planned: list[PlannedStage]
    processes: int
    initial: State = field(init=False)
    threads: int = field(default_factory=torch.get_num_threads)
    results: dict[str, State] = field(default_factory=dict)
    handed_over: bool = False

    def train(self, *, resumed: bool) -> None:
        """From the detector as it is, or as the checkpoint that it was loaded from has it."""
        run = self.run
        self.initial = {
            name: value.detach().cpu().clone() for name, value in run.detector.state_dict().items()
        }
        if not resumed:
            remove_folder(run.directory / FOLDER)
            run.save({"stage": -1, "done": True})
        self._take_what_is_done()
        while ready := self.order.ready(self.results):
            beside = [number for number in ready if self.order.beside[self.order.stages[number].name]]
            if self.handed_over and len(beside) > 1:
                self._in_processes()
            else:
                self._here(ready[0])
        self._together()
        last = len(self.order.stages) - 1
        run.save({"stage": last, "done": True})
        remove_folder(run.directory / FOLDER)

    def piece(self, number: int) -> Piece:
        stage = self.order.stages[number]
        base = dict(self.initial)
        for name in self._in_order(self.order.before[stage.name]):
            base |= self.results[name]
        return Piece(
            number, stage, stage_settings(stage, self.settings), base,
            self.order.threads(stage.name, self.threads),
        )  # fmt: skip

    def finished(self, stage: str) -> None:
        """Take a finished stage's result and log."""
        saved = result_of(self.run.directory, stage)
        assert saved is not None
        self._refuse_shared(stage, saved["detector"])
        self.results[stage] = saved["detector"]
        log = self.run.log
        log.stages[:] = [entry for entry in log.stages if entry.name != stage]
        log.stages.append(log_in(saved, stage))
        numbers = {each.name: number for number, each in enumerate(self.order.stages)}
        log.stages.sort(key=lambda entry: numbers[entry.name])

    def _take_what_is_done(self) -> None:
        for stage in self.order.stages:
            if result_of(self.run.directory, stage.name) is not None:
                self.finished(stage.name)

    def _here(self, number: int) -> None:
        stage = self.order.stages[number]
        asks = not self.handed_over and self.processes > 1 and self.run.after_round is None
        began, first = time.monotonic(), [0.0]

        def hand_over(share: float) -> bool:
            if not first[0]:
                first[0] = share
            done, spent = share - first[0], time.monotonic() - began
            if not done or spent < TIMED_S:
                return False
            rest = self._work_left() - share * self.planned[number].work
            self.handed_over = spent * rest / (done * self.planned[number].work) > WORTH_S
            return self.handed_over

        own = replace(self.run, hand_over=hand_over if asks and self.order.beside[stage.name] else None)
        try:
            run_piece(own, self.piece(number))
        except HandOver:
            return
        self.finished(stage.name)

    def _in_processes(self) -> None:
        """Until nothing is left that can run beside something else."""
        processes = self._processes_that_fit()
        if processes < 2:
            self.processes = 1
            self.handed_over = False
            return
        Crew(self.run, self, processes).work()

    def _processes_that_fit(self) -> int:
        """As many as are asked for, or as the memory allows, which is said."""
        state = sum(value.numel() * value.element_size() for value in self.initial.values())
        each = PROCESS_BYTES + 5 * state
        widest = max(1 + len(beside) for beside in self.order.beside.values())
        asked = min(self.processes, widest)
        fit = min(asked, int(MEMORY_SHARE * available_bytes() / each))
        if fit < asked:
            there = "only this one" if fit < 2 else f"{fit}"
            self.run.progress.say(
                f"networks could be trained in {asked} processes; there is memory for {there} (each takes "
                f"some {in_words(each)}), so that it takes longer; the numbers are the same"
            )
        return fit

    def work_of(self, number: int) -> int:
        return self.planned[number].work

    def _work_left(self) -> float:
        """Images still to go through stages that can run beside others."""
        return sum(
            self.planned[number].work
            for number, stage in enumerate(self.order.stages)
            if stage.name not in self.results and self.order.beside[stage.name]
        )

    def _in_order(self, names: frozenset[str]) -> list[str]:
        return [stage.name for stage in self.order.stages if stage.name in names]

    def _together(self) -> None:
        state = dict(self.initial)
        for stage in self.order.stages:
            state |= self.results[stage.name]
        self.run.detector.load_fitted(state)

    def _refuse_shared(self, stage: str, changed: State) -> None:
        """ValueError where the detector says that stages are independent, and they are not."""
        for other in self.order.beside[stage]:
            if both := sorted(self.results.get(other, {}).keys() & changed.keys()):
                raise ValueError(
                    f"stages {other!r} and {stage!r} both change {both[0]}, and neither follows the other"
                )


def default_processes(device: torch.device) -> int:
    """As many as threads that torch has, and no more than cores that this process may use; one on a GPU."""
    return 1 if device.type != "cpu" else min(available_cores(), torch.get_num_threads())


def independent(stages: Iterable[Stage], settings: Mapping[str, StageSettings]) -> Order | None:
    """The order of stages of which some may be trained at the same time; None where none may. A stage whose
    epochs are measured by the detector's own score follows all that are before it."""
    every = list(stages)
    if all(stage.follows is None for stage in every):
        return None
    for number, stage in enumerate(every):
        if stage.score is None and settings.get(stage.section, StageSettings()).measured:
            every[number] = replace(stage, follows=None)
    order = Order.of(every)
    return order if order.apart else None
