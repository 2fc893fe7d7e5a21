"""Tasks of a comparison in this very process, one after another: for notebooks, whose own detectors no other
process knows, and for debuggers."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from secondread.comparison.running.one_run import LOG, Task, work
from secondread.comparison.running.task_display import Show
from secondread.errors import DataError, UserError
from secondread.terminal.interruption import Interrupted


def run_here(tasks: Sequence[Task], *, show: Show) -> None:
    """Do the tasks that have no result yet. One that fails leaves its reason and the others go on.

    What a run says goes into its `log.txt`, as that of a process does. The peak memory of a run is this
    process's own. Raises KeyboardInterrupt where a run was interrupted, after it has saved.
    """
    waiting = [task for task in tasks if not task.done]
    if not waiting:
        return
    show.begin(waiting, 1)
    try:
        for task in waiting:
            task.write()
            show.started(task)
            with _into_log(task) as failure:
                work(task)
            if task.done:
                show.ended(task, "done")
            elif failure and isinstance(failure[0], Interrupted | KeyboardInterrupt):
                show.ended(task, "stopped")
                raise KeyboardInterrupt
            else:
                show.ended(task, "failed", task.failed or "")
    finally:
        show.finish()


@contextmanager
def _into_log(task: Task) -> Iterator[list[BaseException]]:
    """What is said in the block goes into the task's log, and so does what it raises, which is given; torch
    has the threads of before afterwards."""
    import torch

    raised: list[BaseException] = []
    threads = torch.get_num_threads()
    with (task.place / LOG).open("a", encoding="utf-8") as log, redirect_stdout(log), redirect_stderr(log):
        try:
            yield raised
        except (UserError, DataError) as error:
            print(error, file=log)
            raised.append(error)
        except (Exception, KeyboardInterrupt) as error:
            traceback.print_exc(file=log)
            raised.append(error)
        finally:
            torch.set_num_threads(threads)
