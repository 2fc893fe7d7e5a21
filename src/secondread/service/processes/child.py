"""A process of the service: told by its parent what to do and when to end, and gone when the parent is.

Run as `python -m secondread.service.processes.child ROLE NAME PARENT`. The first line of its input is the
configuration; another line asks it to end gracefully; the end of its input is the parent's. What it has to
say are events, one line of JSON each, on its output.
"""

from __future__ import annotations

import sys

from secondread.terminal.end_with import end_with


def main() -> None:
    role, name, parent = sys.argv[1:4]
    end_with(int(parent))  # before anything that takes time
    from secondread.service.processes.life import live
    from secondread.service.processes.roles import role_of

    live(role_of(role), name)


if __name__ == "__main__":
    main()
