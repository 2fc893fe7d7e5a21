"""Memory of a command over its time: of the process that was started, and of all that it starts.

    python benchmarks/machines/memory.py secondread score BUNDLE manifest.csv -o readings -q

Prints, at the end, the resident memory in MB at moments that follow one another evenly, and the most. For
children it is what is theirs alone and their share of what several have (PSS), where the system says so. Then
the largest that the system itself has seen of any of them, and their processor time.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time

import psutil

MOMENTS, BETWEEN_S = 12, 1.0


def held(process: psutil.Process) -> tuple[float, float]:
    """MB of the process, and of its descendants."""
    own, rest = process.memory_info().rss / 2**20, 0.0
    for child in process.children(recursive=True):
        try:
            rest += child.memory_full_info().pss / 2**20
        except psutil.Error:
            continue
    return own, rest


def main() -> None:
    if len(sys.argv) < 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__)
        return
    begun = time.monotonic()
    command = subprocess.Popen(sys.argv[1:])
    process, seen = psutil.Process(command.pid), []
    while command.poll() is None:
        try:
            seen.append((time.monotonic() - begun, *held(process)))
        except psutil.Error:
            break
        time.sleep(BETWEEN_S)
    status = command.wait()
    print("\n| seconds | this process, MB | its children, MB |\n| --- | --- | --- |")
    for number in range(MOMENTS + 1):
        at, own, rest = seen[round(number * (len(seen) - 1) / MOMENTS)]
        print(f"| {at:.0f} | {own:.0f} | {rest:.0f} |")
    print(f"| the most | {max(own for _, own, _ in seen):.0f} | {max(rest for *_, rest in seen):.0f} |")
    whole = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = whole.ru_utime + whole.ru_stime
    print(f"\nlargest, MB: {whole.ru_maxrss / 2**10:.0f}; processor time, s: {spent:.1f}")
    sys.exit(status)


if __name__ == "__main__":
    main()
