"""YAML as people write recipes: mappings, lists and scalars, without tags and repeated names.

Values are built from the parser's events, so depth and number are bounded while it reads,
and what an alias repeats is counted as often as it stands. Scalars mean what
they mean in YAML 1.1, but for dates and names such as `on`, which are texts, and numbers that are not finite,
which are refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from secondread.strict.limits import Limits, check, check_text
from secondread.strict.plain_file import Unfit

if TYPE_CHECKING:
    import yaml

RECIPE = Limits(length=1 << 18, values=10_000, text=1 << 14)
"""Of a recipe or of one setting: a hundred times the longest preset."""

WORDS = frozenset({"on", "off", "yes", "no", "y", "n"})
"""Truth values of YAML 1.1 that people write as names: `gate: {on: false}`."""


@dataclass
class _Open:
    """A mapping or list whose end has not come yet: what is in it, the name that waits for its value, the
    anchor that it has, and how many values had come before it."""

    found: dict[str, Any] | list[Any]
    anchor: str | None = None
    before: int = 0
    key: str | None = None

    @property
    def wants_name(self) -> bool:
        return isinstance(self.found, dict) and self.key is None

    def put(self, value: Any, mark: Any) -> None:
        if isinstance(self.found, list):
            self.found.append(value)
        elif self.key is not None:
            self.found[self.key], self.key = value, None
        elif not isinstance(value, str):
            raise _at(mark, f"a name should be text, and {str(value)[:40]!r} is not")
        elif value in self.found:
            raise _at(mark, f"the name {value[:80]!r} stands twice in one mapping")
        else:
            self.key = value


def parse_yaml(text: str, limits: Limits = RECIPE) -> Any:
    """The value of a YAML text of one document. Raises Unfit in one line, with line and column."""
    if len(text) > limits.length:
        raise Unfit(f"has {len(text):,} characters, and at most {limits.length:,} are read")
    import yaml  # not every command reads a recipe's text

    # libyaml where PyYAML has it: a hundred times faster, with the same events.
    parser = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        value = _built(yaml.parse(text, Loader=parser), limits)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        lines = text.split("\n")[mark.line :] if mark else []
        tab = mark is not None and "".join(lines[:1]).startswith("\t", mark.column)
        problem = "a tab, where YAML is indented by spaces" if tab else error.problem or error.context
        raise _at(mark, f"is not YAML ({problem})") from None
    except yaml.YAMLError as error:
        raise Unfit(f"is not YAML ({getattr(error, 'reason', error)})") from None
    check(value, limits)
    return value


def _built(events: Iterator[yaml.Event], limits: Limits) -> Any:
    """What the events make. A value that an alias repeats is counted again with all that is in it."""
    import yaml

    root: list[Any] = []
    opened = [_Open(root)]
    named: dict[str, tuple[Any, int]] = {}
    values = 0
    for event in events:
        if isinstance(event, yaml.DocumentStartEvent) and root:
            raise _at(event.start_mark, "a second document begins; one is read")
        if isinstance(event, yaml.CollectionEndEvent):
            ended = opened.pop()
            if ended.anchor is not None:
                named[ended.anchor] = ended.found, values - ended.before
        if not isinstance(event, yaml.NodeEvent):
            continue
        value: Any
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in named:
                raise _at(event.start_mark, f"*{str(event.anchor)[:40]} repeats nothing that ends before it")
            value, inside = named[event.anchor]
            values += inside
        else:
            values += 1
            if isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
                tag = f"it has a tag ({event.tag[:40]}); write the plain value"
                raise _at(event.start_mark, f"is not YAML that is taken: {tag}")
            if isinstance(event, yaml.ScalarEvent):
                value = _scalar(event, limits)
                if isinstance(value, bool) and opened[-1].wants_name and event.value.lower() in WORDS:
                    value = event.value
                if event.anchor is not None:
                    named[event.anchor] = value, 1
            else:
                value = {} if isinstance(event, yaml.MappingStartEvent) else []
        if values > limits.values:
            raise _at(event.start_mark, f"holds more than {limits.values:,} values")
        if len(opened) > limits.depth:
            raise _at(event.start_mark, f"is nested more than {limits.depth} deep")
        opened[-1].put(value, event.start_mark)
        if isinstance(event, yaml.CollectionStartEvent):
            opened.append(_Open(value, event.anchor, values - 1))
    return root[0] if root else None


def _scalar(event: yaml.ScalarEvent, limits: Limits) -> Any:
    text = event.value
    try:
        check_text(text, limits)
    except Unfit as error:
        raise _at(event.start_mark, str(error)) from None
    if not event.implicit[0]:
        return text
    kind = _kind(text) if len(text) <= 400 else "str"
    if kind == "null":
        return None
    if kind == "bool":
        return text.lower() in ("yes", "true", "on")
    if kind not in ("int", "float"):
        return text
    if kind == "int" and len(text) > limits.digits:
        raise _at(event.start_mark, f"a number of {len(text):,} digits")
    try:
        value = _number(kind, text)
    except (ValueError, OverflowError):
        raise _at(event.start_mark, f"{text[:40]!r} is not a number") from None
    if isinstance(value, float) and not math.isfinite(value):
        raise _at(event.start_mark, f"{text[:40]} is not a finite number")
    return value


def _kind(text: str) -> str:
    """What YAML 1.1 takes an unquoted scalar for."""
    import yaml

    resolvers: dict[str | None, list[tuple[str, re.Pattern[str]]]] = yaml.SafeLoader.yaml_implicit_resolvers
    for tag, pattern in (*resolvers.get(text[:1], ()), *resolvers.get(None, ())):
        if pattern.match(text):
            return tag.rpartition(":")[2]
    return "str"


def _number(kind: str, text: str) -> Any:
    import yaml

    node = yaml.ScalarNode(f"tag:yaml.org,2002:{kind}", text)
    made = yaml.constructor.SafeConstructor()
    return made.construct_yaml_int(node) if kind == "int" else made.construct_yaml_float(node)


def _at(mark: Any, problem: str) -> Unfit:
    return Unfit(f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem)
