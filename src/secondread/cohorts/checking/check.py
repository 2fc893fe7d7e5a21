"""What is wrong or suspicious in a manifest and its images, before anything is learned from them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from secondread.cohorts.checking.giveaways import giveaways
from secondread.cohorts.checking.inspection import Inspection, inspect
from secondread.cohorts.cohorts import patients_in_several_splits
from secondread.cohorts.manifest import Manifest, ManifestLike
from secondread.cohorts.remarks import remarked
from secondread.cohorts.row import Row, counts_alone, patient_of
from secondread.images.image import ImageError
from secondread.images.workers.map_in_workers import map_in_workers
from secondread.images.workers.outcome import Failed
from secondread.wording.lists import few
from secondread.wording.numbers import count
from secondread.wording.sizes import times


@dataclass(frozen=True)
class Finding:
    """One thing that a person should look at.

    severity  `error`: results would be wrong or images would fail; `warning`: results may mislead;
              `note`: worth knowing
    kind      a word for scripts: unreadable (non-finite values too), constant, duplicate, patients, mask,
              size, channels, modality, remark, giveaway
    line      what was found
    paths     the images it concerns, as the manifest writes them
    """

    severity: Literal["error", "warning", "note"]
    kind: str
    line: str
    paths: tuple[str, ...] = ()


def check(
    manifest: ManifestLike,
    *,
    workers: int = 2,
    timeout_s: float = 60,
    progress: Callable[[int], None] | None = None,
) -> list[Finding]:
    """Read every image and mask and tell what was found, errors first.

    `progress` is called with the number of images read so far.

    >>> import secondread
    >>> manifest = secondread.make_phantoms("phantoms", seed=0, n_normal=8, n_abnormal=4)
    >>> [finding.line for finding in secondread.check(manifest, workers=0) if finding.severity == "error"]
    []
    """
    manifest = Manifest.of(manifest)
    rows = manifest.rows
    items = [(manifest.reference(row), manifest.mask_reference(row)) for row in rows]
    read: list[tuple[Row, Inspection]] = []
    unreadable: list[tuple[Row, ImageError]] = []
    results = map_in_workers(inspect, items, workers=workers, timeout_s=timeout_s)
    for done, (row, result) in enumerate(zip(rows, results, strict=True), start=1):
        if isinstance(result, Failed):
            unreadable.append((row, result.error))
        else:
            read.append((row, result.value))
        if progress is not None:
            progress(done)

    findings = [
        *_unreadable(unreadable),
        *_constant(read),
        *_duplicates(read),
        *_patients(rows),
        *_masks(read),
        *_mixtures(read),
        *_remarks(read),
        *_giveaways(read),
    ]
    order = ("error", "warning", "note")
    return sorted(findings, key=lambda finding: order.index(finding.severity))


def _unreadable(failed: Sequence[tuple[Row, ImageError]]) -> Iterator[Finding]:
    for row, error in failed:
        advice = f"; {error.advice}" if error.advice else ""
        yield Finding("error", "unreadable", f"{row.path}: {error.problem}{advice}", (row.path,))


def _constant(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    if constant := [row.path for row, seen in read if seen.constant]:
        yield Finding("error", "constant", f"{_images(constant)} of one value throughout", tuple(constant))


def _duplicates(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    """Images with the same bytes or the same decoded pixels, worst first: across splits, labels, within."""
    groups: dict[str, list[Row]] = defaultdict(list)
    bytes_of: dict[str, set[str]] = defaultdict(set)
    for row, seen in read:
        groups[seen.content].append(row)
        bytes_of[seen.content].add(seen.digest)
    kinds: dict[str, list[list[Row]]] = defaultdict(list)
    for content, rows in groups.items():
        if len(rows) < 2:
            continue
        same = "the same file" if len(bytes_of[content]) == 1 else "the same pixels in different files"
        if len({row.split for row in rows}) > 1:
            kinds[f"stand in more than one split as {same}"].append(rows)
        elif len({row.label for row in rows}) > 1:
            kinds[f"carry different labels though {same}"].append(rows)
        else:
            kinds[f"are listed twice or more as {same}"].append(rows)
    for kind, sets in kinds.items():
        severity: Literal["error", "warning"] = "warning" if kind.startswith("are listed") else "error"
        paths = tuple(row.path for rows in sets for row in rows)
        example = " = ".join(row.path for row in sets[0][:3])
        yield Finding(severity, "duplicate", f"{len(sets)} pictures {kind}, such as {example}", paths)


def _patients(rows: Sequence[Row]) -> Iterator[Finding]:
    if shared := patients_in_several_splits(rows):
        names = few(shared, 10)
        paths = tuple(row.path for row in rows if patient_of(row).partition(" ")[2] in set(shared))
        yield Finding(
            "error", "patients", f"{count(len(shared), 'patient')} in more than one split: {names}", paths
        )
    if without := sum(map(counts_alone, rows)):
        line = f"{without} of {len(rows)} images have no patient id: each counts as its own patient"
        yield Finding("note", "patients", line)


def _masks(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    for row, seen in read:
        if seen.mask_problem:
            yield Finding(
                "error", "mask", f"{row.path}: its mask {row.mask}: {seen.mask_problem}", (row.path,)
            )
    marked = [row.path for row, seen in read if row.label == "normal" and seen.mask_empty is False]
    if marked:
        line = f"{_images(marked)} labelled normal, though the mask marks something"
        yield Finding("error", "mask", line, tuple(marked))
    empty = [row.path for row, seen in read if row.label == "abnormal" and seen.mask_empty]
    if empty:
        line = f"{_images(empty)} labelled abnormal, though the mask marks nothing"
        yield Finding("warning", "mask", line, tuple(empty))
    abnormal = [row for row, _ in read if row.label == "abnormal"]
    missing = tuple(row.path for row in abnormal if not row.mask)
    if missing and len(missing) < len(abnormal):
        line = f"{len(missing)} of {len(abnormal)} abnormal images have no mask, the others have one"
        yield Finding("note", "mask", line, missing)


def _mixtures(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    ranks = Counter("volumes" if len(seen.size) == 3 else "2-D images" for _, seen in read)
    if len(ranks) > 1:
        yield Finding("error", "size", f"volumes and 2-D images together: {_told(ranks)}")
    sizes = Counter(times(seen.size) for _, seen in read)
    if len(sizes) > 1:
        yield Finding("note", "size", f"{len(sizes)} image sizes: {_told(sizes)}")
    files = Counter(f"{seen.files} files" for _, seen in read)
    if len(files) > 1:
        rare = min(files, key=lambda kind: files[kind])
        paths = tuple(row.path for row, seen in read if f"{seen.files} files" == rare)
        yield Finding("error", "files", f"rows that name other numbers of files: {_told(files)}", paths)
    single = [(row, seen) for row, seen in read if seen.files == 1]
    channels = Counter("colour" if seen.channels == 3 else "grey" for _, seen in single)
    if len(channels) > 1:
        rare = min(channels, key=lambda kind: channels[kind])
        paths = tuple(
            row.path for row, seen in single if ("colour" if seen.channels == 3 else "grey") == rare
        )
        yield Finding("note", "channels", f"grey and colour images together: {_told(channels)}", paths)
    modalities = Counter(seen.modality or "(not said)" for _, seen in read)
    if len(modalities) > 1:
        yield Finding("warning", "modality", f"{len(modalities)} modalities: {_told(modalities)}")


def _remarks(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    """What readers remark, one finding for each kind of thing."""
    for found in remarked((row.path, seen.remarks) for row, seen in read):
        line = f"{_images(found.paths)}: {found.example}" + (
            " (and the like)" if len(found.paths) > 1 else ""
        )
        yield Finding("warning" if found.serious else "note", "remark", line, found.paths)


def _giveaways(read: Sequence[tuple[Row, Inspection]]) -> Iterator[Finding]:
    labelled = [(row, seen) for row, seen in read if row.label]
    if not labelled:
        return
    for found in giveaways(
        [seen.facts for _, seen in labelled], [row.label == "abnormal" for row, _ in labelled]
    ):
        paths = tuple(labelled[index][0].path for index in found.indices)
        examples = f", such as {', '.join(paths[:6])}" if paths else ""
        line = f"acquisition gives the label away: {found.line}{examples}"
        yield Finding("warning", "giveaway", line, paths)


def _images(paths: Sequence[str]) -> str:
    return f"{len(paths)} image{'s' if len(paths) > 1 else ''} ({few(paths, 3)})"


def _told(counts: Counter[str]) -> str:
    return few([f"{name} ({count})" for name, count in counts.most_common()])
