"""How long a destination is left alone after a failure: twice as long after each, with jitter, up to a limit.
One success, and it is asked without a pause again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from secondread.service.settings.sending import SendingSettings

MOST_DOUBLINGS = 40


def pause(sending: SendingSettings, failures: int) -> float:
    """Seconds to wait after so many failures in a row: from half to the whole of
    `retry_s` 2^(failures - 1), at most `longest_retry_s`. By chance, so that many senders do not come
    together."""
    longest = sending.retry_s * 2.0 ** min(max(0, failures - 1), MOST_DOUBLINGS)
    return min(longest, sending.longest_retry_s) * random.uniform(0.5, 1.0)


@dataclass
class Circuit:
    """Of one destination, by a clock that nobody sets back."""

    sending: SendingSettings
    clock: Callable[[], float] = time.monotonic
    failures: int = 0
    _until: float = 0.0
    _since: float | None = field(default=None)

    @property
    def wait_s(self) -> float:
        """How long until it may be asked again."""
        return max(0.0, self._until - self.clock())

    @property
    def away_s(self) -> float:
        """For how long nothing has gone through, since the first failure."""
        return 0.0 if self._since is None else self.clock() - self._since

    def failed(self, at_least_s: float = 0.0) -> None:
        self.failures += 1
        self._since = self.clock() if self._since is None else self._since
        asked = min(at_least_s, self.sending.longest_retry_s)
        self._until = self.clock() + max(pause(self.sending, self.failures), asked)

    def succeeded(self) -> None:
        self.failures, self._since, self._until = 0, None, 0.0
