"""Stages in processes of their own: started, listened to, stopped, and begun again where one was killed."""

from __future__ import annotations

import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from secondread.errors import UserError
from secondread.terminal.interruption import Interrupted
from secondread.training.apart.order import Order
from secondread.training.apart.piece import Piece, State
from secondread.training.apart.process import Job
from secondread.training.fit_state import Run
from secondread.training.log import EpochLog, StageLog, log_epoch

ATTEMPTS = 2
"""How often a stage is begun whose process was ended by a signal."""
LOOK_S = 0.2


class Work(Protocol):
    """What is to be trained: see `stages_apart.StagesApart`."""

    order: Order

    @property
    def results(self) -> Mapping[str, State]: ...

    def piece(self, number: int) -> Piece: ...

    def finished(self, stage: str) -> None: ...

    def work_of(self, number: int) -> int: ...


@dataclass
class _Working:
    piece: Piece
    process: subprocess.Popen[bytes]
    error: str | None = None


@dataclass
class Crew:
    """The processes at work, by stage, and how often each stage was begun."""

    run: Run
    stages: Work
    most: int
    working: dict[str, _Working] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    heard: queue.Queue[tuple[str, dict[str, Any] | None]] = field(default_factory=queue.Queue)

    def work(self) -> None:
        """Until no stage is left that may be trained beside another. `Interrupted` when asked to stop, and
        `UserError` where a stage fails; then the others have saved and ended."""
        order = self.stages.order
        self.run.progress.say(f"networks are trained in {self.most} processes")
        try:
            while True:
                self._start()
                if not self.working:
                    return
                self._listen()
                if self.run.stop.requested:
                    self._stop()
                    raise Interrupted(
                        "interrupted; everything so far is saved: the same command goes on from here"
                    )
                waiting = [n for n in order.ready(self.stages.results) if order.beside[order.stages[n].name]]
                if not waiting and not self.working:
                    return
        finally:
            for each in self.working.values():
                each.process.kill()
            for each in self.working.values():
                each.process.wait()

    def _start(self) -> None:
        """The longest of the stages that are ready, as far as there are processes."""
        order = self.stages.order
        ready = [
            number
            for number in order.ready(self.stages.results)
            if order.stages[number].name not in self.working and order.beside[order.stages[number].name]
        ]
        for number in sorted(ready, key=lambda number: -self.stages.work_of(number)):
            if len(self.working) >= self.most:
                return
            self._begin(self.stages.piece(number))

    def _begin(self, piece: Piece) -> None:
        name, run = piece.stage.name, self.run
        detector = run.detector
        job = Job(
            kind=type(detector), settings=detector.settings, channels=detector.channels, size=detector.size,
            number=piece.number, stage_settings=piece.settings, base=dict(piece.base), threads=piece.threads,
            cohorts=dict(run.cohorts), seed=run.seed, directory=run.directory,
            checkpoint_seconds=run.checkpoint_seconds, fingerprint=run.fingerprint, precision=run.precision,
            device=str(run.fabric.device), cache=run.cache, steps=bool(run.observers),
        )  # fmt: skip
        try:
            sent = pickle.dumps(job)
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise UserError(
                f"stage {name!r} cannot be sent to another process ({error}); give --processes 1 (in Python "
                "processes=1): the same fit goes on in this one"
            ) from error
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "secondread.training.apart.process", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(piece.threads),
                "PYTHONPATH": os.pathsep.join(sys.path),
            },
        )
        self.begun[name] = self.begun.get(name, 0) + 1
        self.working[name] = _Working(piece, process)
        threading.Thread(target=self._hear, args=(name, process, sent), daemon=True).start()

    def _hear(self, name: str, process: subprocess.Popen[bytes], sent: bytes) -> None:
        """In a thread: send the job, and pass on what the process says; None when it has ended."""
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            with process.stdin as stdin:
                stdin.write(sent)
            for line in process.stdout:
                self.heard.put((name, json.loads(line)))
        except (OSError, ValueError):
            process.kill()
        process.stdout.close()
        process.wait()
        self.heard.put((name, None))

    def _listen(self) -> None:
        try:
            name, told = self.heard.get(timeout=LOOK_S)
        except queue.Empty:
            return
        if told is not None:
            self._told(name, told)
            return
        self._ended(name)

    def _told(self, name: str, told: dict[str, Any]) -> None:
        run = self.run
        if "error" in told:
            self.working[name].error = told["error"]
        if "say" in told:
            run.progress.say(told["say"])
        if "step" in told:
            for observer in run.observers:
                observer.stepped(name, told["step"], told["losses"], told["lr"])
        if "epoch" in told:
            epoch = EpochLog(**told["epoch"])
            entry = next((entry for entry in run.log.stages if entry.name == name), None)
            if entry is None:
                entry = StageLog(name)
                run.log.stages.append(entry)
            entry.epochs.append(epoch)
            run.progress.epoch(name, epoch, told["of"])
            log_epoch(name, epoch, told["of"])
            for observer in run.observers:
                observer.epoch_ended(name, epoch, told["of"], run.log)

    def _ended(self, name: str) -> None:
        """A process has ended: its result is taken, or it is begun again, or the fit ends."""
        ended = self.working.pop(name)
        status = ended.process.returncode
        if status == 0:
            self.stages.finished(name)
            return
        if status < 0 and self.begun[name] < ATTEMPTS:
            self.run.progress.say(
                f"stage {name}: its process was ended by signal {-status}, and is begun again"
            )
            self._begin(ended.piece)
            return
        self._stop()
        if ended.error is not None:
            raise UserError(ended.error)
        how = f"by signal {-status}, perhaps for memory" if status < 0 else f"with status {status}"
        raise UserError(
            f"stage {name!r}: its process ended {how}; the same command goes on, and with --processes 1 (in "
            "Python processes=1) in one process"
        )

    def _stop(self) -> None:
        """Each saves and ends."""
        for each in self.working.values():
            each.process.send_signal(signal.SIGINT)
        for each in self.working.values():
            each.process.wait()
        self.working.clear()
