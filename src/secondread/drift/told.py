"""What an alarm means and what to do, in words."""

from __future__ import annotations

from secondread.drift.watch import Change
from secondread.wording.numbers import count

SCORES = {
    "higher": "scores are higher than before: more studies are flagged than was promised",
    "lower": "scores are lower than before: fewer studies are flagged than was promised, abnormal ones too",
    "wider": "scores spread wider than before",
    "narrower": "scores spread less than before",
}
WORDS = {"seldom": "takes values that were seldom or new", "usual": "takes its usual values more often"}


def what(change: Change) -> str:
    """What has changed, without when."""
    part, _, name = change.watcher.partition(" ")
    if part in ("score", "cusum"):
        return SCORES[change.kind]
    if part == "flags":
        return "more studies are flagged than the promise, its calibration set and the prevalence explain"
    subject = f"the acquisition fact {name}" if part == "fact" else f"the pictures' {name}"
    if change.kind in WORDS:
        return f"{subject} {WORDS[change.kind]}"
    kind = {"higher": "is higher", "lower": "is lower", "wider": "spreads wider", "narrower": "spreads less"}
    return f"{subject} {kind.get(change.kind, 'is mixed otherwise')} than before"


def sentence(change: Change) -> str:
    """What has changed, and when it was seen and seems to have begun.

    >>> sentence(Change("fact kvp", "higher", 812, 30))
    'the acquisition fact kvp is higher than before (seen at study 812, begun about 30 studies before)'
    """
    begun = count(max(change.since - 1, 0), "study", "studies")
    return f"{what(change)} (seen at study {change.study:,}, begun about {begun} before)"


def remedy(change: Change, bundle: str) -> str:
    """What a person should do."""
    calibrate = f"secondread calibrate {bundle} MANIFEST -o NEW-BUNDLE"
    if change.watcher.startswith("fact "):
        return (
            "ask what was changed at the scanner; where it is to stay and scores or flags alarm too, collect "
            f"normal studies from after it and run `{calibrate}`"
        )
    if change.watcher == "flags":
        return (
            "look at flagged studies; where readers find them normal, collect normal studies of these weeks "
            f"and run `{calibrate}`"
        )
    return (
        "look at recent studies; where nothing explains it in patients, collect normal studies from after "
        f"the change and run `{calibrate}`"
    )
