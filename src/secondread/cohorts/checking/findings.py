"""Findings from the table of what was seen: each is a query, and none holds the images that it concerns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, islice
from typing import Literal

from secondread.cohorts.checking.giveaways import giveaways
from secondread.cohorts.checking.seen_table import Images, SeenTable
from secondread.cohorts.remarks import is_serious
from secondread.outputs.temporary_database import restored
from secondread.wording.lists import few
from secondread.wording.numbers import count

Severity = Literal["error", "warning", "note"]
_SHOWN, _EXAMPLES = 5, 6


@dataclass(frozen=True)
class Found:
    """A finding as `check.Finding`, whose paths are read from the table while they are looked through."""

    severity: Severity
    kind: str
    line: str
    paths: Iterable[str] = ()


def findings(table: SeenTable) -> Iterator[Found]:
    """All findings, errors first. Of errors there may be one for each row; of the others there are few."""
    later: list[Found] = []
    for found in chain.from_iterable(finder(table) for finder in _FINDERS):
        if found.severity == "error":
            yield found
        else:
            later.append(found)
    yield from sorted(later, key=lambda found: ("warning", "note").index(found.severity))


def _unreadable(table: SeenTable) -> Iterator[Found]:
    for path, why in table.data.rows("SELECT path, unread FROM seen WHERE unread IS NOT NULL ORDER BY n"):
        line = f"{restored(path)}: {restored(why)}"
        yield Found("error", "unreadable", line, (restored(path),))


def _constant(table: SeenTable) -> Iterator[Found]:
    constant = table.images("FROM seen WHERE constant ORDER BY n")
    if found := constant.count:
        yield Found("error", "constant", f"{_images(constant, found)} of one value throughout", constant)


def _duplicates(table: SeenTable) -> Iterator[Found]:
    """Images with the same bytes or the same decoded pixels, worst first: across splits, labels, within."""
    table.data.run(
        "CREATE TABLE sets AS SELECT content, MIN(n) AS first, MIN(digest) = MAX(digest) AS one_file, "
        "CASE WHEN MIN(split) <> MAX(split) THEN 'splits' WHEN MIN(label) <> MAX(label) THEN 'labels' "
        "ELSE 'listed' END AS apart FROM seen WHERE content IS NOT NULL GROUP BY content HAVING COUNT(*) > 1"
    )
    if table.data.one("SELECT COUNT(*) FROM sets") == (0,):
        return
    table.data.run("CREATE INDEX set_of ON sets (content)")
    table.data.run(
        "CREATE TABLE copies AS SELECT first, one_file, apart, path "
        "FROM seen CROSS JOIN sets ON sets.content = seen.content ORDER BY first, n"
    )
    kinds = list(
        table.data.rows(
            "SELECT apart, one_file, COUNT(*), MIN(first) FROM sets GROUP BY apart, one_file ORDER BY 4"
        )
    )
    said = {
        "splits": ("stands", "stand", "in more than one split as"),
        "labels": ("carries", "carry", "different labels though"),
        "listed": ("is", "are", "listed twice or more as"),
    }
    for apart, one_file, number, first in kinds:
        same = "the same file" if one_file else "the same pixels in different files"
        paths = table.images("FROM copies WHERE apart = ? AND one_file = ? ORDER BY rowid", apart, one_file)
        example = " = ".join(table.images("FROM copies WHERE first = ? ORDER BY rowid", first).first(3))
        one, many, how = said[apart]
        verb = one if number == 1 else many
        line = f"{count(number, 'picture')} {verb} {how} {same}, such as {example}"
        yield Found("warning" if apart == "listed" else "error", "duplicate", line, paths)


def _patients(table: SeenTable) -> Iterator[Found]:
    table.data.run(
        "CREATE TABLE shared AS SELECT whose FROM seen WHERE split <> '' AND whose IS NOT NULL "
        "GROUP BY known_by, whose HAVING MIN(split) <> MAX(split)"
    )
    (shared,) = table.data.one("SELECT COUNT(*) FROM shared")
    if shared:
        names = [restored(who) for (who,) in table.data.rows("SELECT * FROM shared ORDER BY whose LIMIT 10")]
        paths = table.images("FROM seen WHERE coalesce(whose, path) IN (SELECT whose FROM shared) ORDER BY n")
        line = f"{count(shared, 'patient')} in more than one split: {few(names, 10, of=shared)}"
        yield Found("error", "patients", line, paths)
    (without,) = table.data.one("SELECT COUNT(*) FROM seen WHERE whose IS NULL")
    if without:
        line = f"{without} of {table.rows} images have no patient id: each counts as its own patient"
        yield Found("note", "patients", line)


def _masks(table: SeenTable) -> Iterator[Found]:
    problems = "SELECT path, mask, mask_problem FROM seen WHERE mask_problem IS NOT NULL ORDER BY n"
    for path, mask, problem in table.data.rows(problems):
        line = f"{restored(path)}: its mask {restored(mask)}: {restored(problem)}"
        yield Found("error", "mask", line, (restored(path),))
    marked = table.images("FROM seen WHERE label = 'normal' AND mask_empty = 0 ORDER BY n")
    if found := marked.count:
        line = f"{_images(marked, found)} labelled normal, though the mask marks something"
        yield Found("error", "mask", line, marked)
    empty = table.images("FROM seen WHERE label = 'abnormal' AND mask_empty ORDER BY n")
    if found := empty.count:
        line = f"{_images(empty, found)} labelled abnormal, though the mask marks nothing"
        yield Found("warning", "mask", line, empty)
    abnormal = "FROM seen WHERE label = 'abnormal' AND unread IS NULL"
    missing = table.images(f"{abnormal} AND mask IS NULL ORDER BY n")
    found, of = missing.count, table.images(abnormal).count
    if 0 < found < of:
        line = f"{found} of {of} abnormal images have no mask, the others have one"
        yield Found("note", "mask", line, missing)


def _mixtures(table: SeenTable) -> Iterator[Found]:
    ranks = _counted(table, "CASE rank WHEN 3 THEN 'volumes' ELSE '2-D images' END")
    if ranks.kinds > 1:
        yield Found("error", "size", f"volumes and 2-D images together: {ranks.told}")
    sizes = _counted(table, "size")
    if sizes.kinds > 1:
        yield Found("note", "size", f"{sizes.kinds} image sizes: {sizes.told}")
    files = _counted(table, "files", " files")
    if files.kinds > 1:
        line = f"rows that name other numbers of files: {files.told}"
        yield Found("error", "files", line, files.rarest)
    channels = _counted(table, "CASE channels WHEN 3 THEN 'colour' ELSE 'grey' END", those="files = 1")
    if channels.kinds > 1:
        yield Found("note", "channels", f"grey and colour images together: {channels.told}", channels.rarest)
    modalities = _counted(table, "CASE modality WHEN '' THEN '(not said)' ELSE modality END")
    if modalities.kinds > 1:
        yield Found("warning", "modality", f"{modalities.kinds} modalities: {modalities.told}")


def _remarks(table: SeenTable) -> Iterator[Found]:
    """What readers remark, one finding for each kind of thing: serious ones first, then the most frequent."""
    found = []
    for remark in table.remarks.values():
        of = table.images("FROM remarked JOIN seen USING (n) WHERE kind = ? ORDER BY n", remark.number)
        found.append((is_serious(remark.example), of.count, remark.example, of))
    for serious, number, example, of in sorted(found, key=lambda one: (not one[0], -one[1])):
        line = f"{_images(of, number)}: {example}" + (" (and the like)" if number > 1 else "")
        yield Found("warning" if serious else "note", "remark", line, of)


def _giveaways(table: SeenTable) -> Iterator[Found]:
    for found in giveaways(table):
        shown = list(islice(found.images, _EXAMPLES))
        examples = f", such as {', '.join(shown)}" if shown else ""
        line = f"acquisition gives the label away: {found.line}{examples}"
        yield Found("warning", "giveaway", line, found.images)


_FINDERS: tuple[Callable[[SeenTable], Iterator[Found]], ...] = (
    _unreadable,
    _constant,
    _duplicates,
    _patients,
    _masks,
    _mixtures,
    _remarks,
    _giveaways,
)


@dataclass(frozen=True)
class _Counted:
    """How many kinds of images there are, how many of each in words, and those of the rarest kind."""

    kinds: int
    told: str
    rarest: Images


def _counted(table: SeenTable, kind: str, unit: str = "", those: str = "TRUE") -> _Counted:
    """`kind` is an expression on images that were read and meet the condition `those`."""
    read = f"FROM seen WHERE unread IS NULL AND {those}"
    kinds, shown, rarest, fewest = 0, list[str](), None, 0
    for value, number, _ in table.data.rows(
        f"SELECT {kind} AS kind, COUNT(*) AS number, MIN(n) AS first {read} GROUP BY kind "
        "ORDER BY number DESC, first"
    ):
        kinds += 1
        if len(shown) < _SHOWN:
            shown.append(f"{restored(value) if isinstance(value, bytes) else value}{unit} ({number})")
        if number != fewest:
            rarest, fewest = value, number
    of = table.images(f"{read} AND {kind} = ? ORDER BY n", rarest)
    return _Counted(kinds, few(shown, _SHOWN, of=kinds), of)


def _images(images: Images, number: int) -> str:
    return f"{number} image{'s' if number > 1 else ''} ({few(images.first(3), 3, of=number)})"
