"""What the laws of each detector's tiny form cost, in seconds of processor time.

    OMP_NUM_THREADS=1 python benchmarks/speed/law_costs.py [-k NAME] [--laws]

A detector's seconds are those of all its laws on all its ranks, on one thread; on two cores its tests, which
do not wait for one another, take half of that. `--laws` adds the seconds of each law over all detectors.
Fits and images that several laws share are counted where they are first asked for. Markdown, dearest detector
first.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

LAWS = Path(__file__).resolve().parents[2] / "tests" / "laws" / "test_laws.py"
CASE = re.compile(r"(?P<law>test_\w+)\[(?:(?:float32|bf16)-)?(?P<name>[a-z0-9-]+)-(?P<rank>[23])d")


class Clock:
    """A pytest plugin that notes the processor time of each test, its fixtures included, and the failures."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.failed: list[str] = []

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        began = time.process_time()
        yield
        self.seconds[item.name] = time.process_time() - began

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("-k", default="", help="only laws of detectors with this in their name")
    parser.add_argument("--laws", action="store_true", help="the seconds of each law, too")
    given = parser.parse_args()
    clock = Clock()
    with contextlib.redirect_stdout(io.StringIO()) as said:
        pytest.main(["-n", "0", "-p", "no:cacheprovider", "-k", given.k, str(LAWS)], plugins=[clock])
    if clock.failed or not clock.seconds:
        raise SystemExit(said.getvalue()[-3000:])
    detectors: dict[str, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    laws: dict[str, float] = defaultdict(float)
    for test, seconds in clock.seconds.items():
        case = CASE.match(test)
        assert case is not None, test
        detectors[case["name"]][case["rank"]] += seconds
        laws[case["law"]] += seconds
    print("| detector | 2-D, s | 3-D, s | on two cores, s |\n|---|---|---|---|")
    for name, ranks in sorted(detectors.items(), key=lambda found: -sum(found[1].values())):
        shown = [f"{ranks[rank]:.1f}" if rank in ranks else "–" for rank in "23"]
        print(f"| `{name}` | {' | '.join(shown)} | {sum(ranks.values()) / 2:.1f} |")
    total = sum(sum(ranks.values()) for ranks in detectors.values())
    print(f"\nAll: {total:.1f} s.")
    if given.laws:
        print("\n| law | s |\n|---|---|")
        for law, seconds in sorted(laws.items(), key=lambda found: -found[1]):
            print(f"| {law} | {seconds:.1f} |")


if __name__ == "__main__":
    main()
