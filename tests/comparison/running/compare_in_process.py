"""Run by tests in a process of its own: do the tasks whose files are named.

python compare_in_process.py JOBS TASK.json...
"""

import sys
from pathlib import Path

from secondread.comparison.running.local import run_locally
from secondread.comparison.running.one_run import Task
from secondread.comparison.running.task_display import Quiet

if __name__ == "__main__":
    tasks = [Task.read(Path(file)) for file in sys.argv[2:]]
    try:
        run_locally(tasks, jobs=int(sys.argv[1]), show=Quiet())
    except KeyboardInterrupt:
        sys.exit(130)
