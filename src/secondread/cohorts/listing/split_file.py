"""A published list of which image plays which part: the `data.json` of the DDAD repartition.

    {"train": {"0": [names], "unlabeled": {"0": [names], "1": [names]}}, "test": {"0": [names], "1": [names]}}

0 is normal, 1 abnormal; names are file names. `unlabeled` is the pool from which an unlabelled cohort is
made (Cai et al., Dual-distribution discrepancy for anomaly detection in chest X-rays, MICCAI 2022).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from secondread.cohorts.labels.join import without_extension
from secondread.cohorts.row import Row
from secondread.cohorts.unlabelled import POOL, POOL_ORDER, UNLABELLED
from secondread.errors import UserError
from secondread.strict.json_text import parse_json
from secondread.strict.limits import Limits
from secondread.strict.plain_file import Unfit, read_plain
from secondread.wording.lists import few
from secondread.wording.numbers import count

LISTS = Limits(length=256 << 20, values=4_000_000)

_LABELS = {"0": "normal", "1": "abnormal"}
_POOLS = ("unlabeled", "unlabelled")
_FORM = "it needs train.0, train.unlabeled.0, train.unlabeled.1, test.0 and test.1 (lists of file names)"


@dataclass(frozen=True)
class Listed:
    """What a split file says of one name; `position` is its place in a list of the pool, else None."""

    name: str
    split: str
    label: str
    position: int | None = None

    def placed(self, row: Row) -> Row:
        """The row with this split and label, and the columns of the pool where it is in it."""
        row = replace(row, split=self.split, label=self.label, finding="")
        if self.position is None:
            return row
        return replace(row, extra={**row.extra, POOL: UNLABELLED, POOL_ORDER: str(self.position)})


@dataclass(frozen=True)
class Found:
    """Which file each listed name is, the names that have no file, and how many files are in no list."""

    source: str
    files: Mapping[str, Listed]
    missing: Sequence[str]
    unlisted: int

    def remarks(self, folder: str | Path) -> list[str]:
        """What is left out, on the list's side and on the folder's, each in one line."""
        said = []
        if self.missing:
            said.append(
                f"{len(self.missing)} of {len(self.missing) + len(self.files)} names in {self.source} "
                f"have no file in {folder} and are left out: {few(self.missing)}"
            )
        if self.unlisted:
            of = f"in {folder} {'is' if self.unlisted == 1 else 'are'} in no list of {self.source}"
            said.append(f"{count(self.unlisted, 'file')} {of}, and left out")
        return said


@dataclass(frozen=True)
class SplitFile:
    """All names of a split file, in the order of its lists."""

    source: str
    listed: tuple[Listed, ...]

    @classmethod
    def read(cls, path: str | Path) -> SplitFile:
        """The lists of a JSON file; `unlabelled` may be spelt with one l or two, and lists may be absent.

        Raises UserError where the file cannot be read, has another form, names nothing, or a name twice.
        """
        try:
            data = parse_json(read_plain(path, LISTS.length), LISTS)
        except FileNotFoundError:
            raise UserError(f"{path}: no such split file; give the path of a JSON file") from None
        except OSError as error:
            raise UserError(f"{path}: the split file cannot be read ({error.strerror})") from None
        except Unfit as error:
            raise UserError(f"{path}: not JSON that is taken ({error}); {_FORM}") from None
        listed = tuple(_lists(str(path), data))
        if not listed:
            raise UserError(f"{path}: no name is in any list; {_FORM}")
        counts = Counter(each.name for each in listed)
        if twice := [name for name, count in counts.items() if count > 1]:
            raise UserError(
                f"{path}: {len(twice)} names are listed more than once: {few(twice)}; an image plays one part"
            )
        return cls(str(path), listed)

    def find(self, paths: Iterable[str], folder: str | Path) -> Found:
        """The file of each name among a folder's paths (relative, `/` between folders).

        A name fits the file of that name, else files whose name differs in the extension alone (`x.png` in
        the list, `x.dcm` in the folder). Raises UserError where a name fits several files, several names
        one, or no name any.
        """
        paths = list(paths)
        by_name: dict[str, list[str]] = defaultdict(list)
        by_stem: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            name = PurePosixPath(path).name
            by_name[name].append(path)
            by_stem[without_extension(name)].append(path)
        files: dict[str, Listed] = {}
        missing: list[str] = []
        several: list[str] = []
        for each in self.listed:
            name = PurePosixPath(each.name).name
            fitting = by_name.get(name) or by_stem.get(without_extension(name)) or []
            if not fitting:
                missing.append(each.name)
            elif len(fitting) > 1:
                several.append(f"{each.name} ({', '.join(sorted(fitting)[:2])})")
            elif fitting[0] in files:
                several.append(f"{files[fitting[0]].name} and {each.name} (both {fitting[0]})")
            else:
                files[fitting[0]] = each
        if several:
            raise UserError(
                f"{self.source}: {len(several)} names do not fit one file of {folder} each: "
                f"{few(several, 3)}; give a folder that holds one file for each name"
            )
        if not files:
            raise UserError(
                f"{self.source}: none of its {len(missing)} names is a file in {folder}: {few(missing)}; "
                "give the folder that holds them"
            )
        return Found(self.source, files, missing, len(paths) - len(files))


def _lists(source: str, data: Any) -> Iterator[Listed]:
    for split, parts in _named(source, "", data, ("train", "test")):
        allowed = (*_LABELS, *(_POOLS if split == "train" else ()))
        for part, content in _named(source, f"{split}.", parts, allowed):
            where = f"{split}.{part}"
            if part not in _POOLS:
                yield from _names(source, where, content, split, part)
                continue
            for label, names in _named(source, f"{where}.", content, tuple(_LABELS)):
                for i, each in enumerate(_names(source, f"{where}.{label}", names, split, label)):
                    yield replace(each, position=i)


def _named(source: str, where: str, data: Any, allowed: Sequence[str]) -> Iterator[tuple[str, Any]]:
    if not isinstance(data, dict):
        raise UserError(f"{source}: {where.rstrip('.') or 'the file'} is no object with names; {_FORM}")
    if unknown := [key for key in data if key not in allowed]:
        raise UserError(f"{source}: {where}{unknown[0]} is unknown; {_FORM}")
    yield from data.items()


def _names(source: str, where: str, names: Any, split: str, label: str) -> Iterator[Listed]:
    if not isinstance(names, list) or not all(isinstance(name, str) and name.strip() for name in names):
        raise UserError(f"{source}: {where} is no list of file names; {_FORM}")
    for name in names:
        yield Listed(name, split, _LABELS[label])
