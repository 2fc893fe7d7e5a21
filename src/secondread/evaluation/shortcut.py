"""The shortcut check: how far labels and scores can be told from how an image was made and stored.

Three questions, each answered out of sample, cross-validated so that no patient stands on both sides:

- `label`      AUROC of gradient-boosted trees that see only acquisition facts (size, bytes, header
               fields, border strip), never the picture. Far from 0.5: the data set gives labels away.
- `follows`    among normals alone, the rank correlation between the detector's score and what the same
               facts predict of it. High: the detector reads the acquisition.
- `thumbnail`  AUROC of a supervised logistic regression on 16×16 thumbnails: what low resolution
               alone could give *with* labels. A ceiling to read the others by, not a shortcut in itself.

An AUROC here may fall below 0.5 by chance; it is printed as it is.
"""

from __future__ import annotations

import math
import sys
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from secondread.evaluation.estimates import Estimate, Resampling, area_estimate
from secondread.evaluation.remembered import remembered
from secondread.metrics.ranks import spearman
from secondread.metrics.roc import auroc
from secondread.outputs.rows_on_disk import RowsOnDisk
from secondread.wording.short import Short

FOLDS = 5
MOST_CATEGORIES = 12
LEAST_CASES = 10
MOST_LEARNED = 20_000
"""Thumbnails that a fold learns from: of more a part is drawn, since all of them need 4 kB each."""
_SHOWN_AT_ONCE = 1024


@dataclass(frozen=True, repr=False)
class Shortcut(Short):
    """The check's result.

    facts      the acquisition facts that vary and were used
    strongest  single facts with the AUROC of the label from that fact alone (in sample, the better
               direction), strongest first
    r_squared  cross-validated R² of the score among normals, given the facts
    """

    label: Estimate
    follows: Estimate
    thumbnail: Estimate
    facts: tuple[str, ...] = ()
    strongest: tuple[tuple[str, float], ...] = ()
    r_squared: float | None = None


def check_shortcuts(
    paths: Sequence[str],
    labels: NDArray[np.bool_],
    groups: NDArray[np.int64],
    scores: NDArray[np.float64],
    acquisition: Mapping[str, Mapping[str, str]],
    thumbnails: Mapping[str, NDArray[np.float32]],
    how: Resampling,
) -> Shortcut:
    """Run the check on `[n]` labelled images; paths are the readings' own, as in the two tables."""
    import sklearn.ensemble  # noqa: F401 - its thread pool must be there before it can be limited

    with threadpool_limits(1):  # small tables: many threads cost more than they give, and sum in other orders
        return _check(paths, acquisition, thumbnails, labels, groups, scores, how)


def _check(
    paths: Sequence[str],
    acquisition: Mapping[str, Mapping[str, str]],
    thumbnails: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.bool_],
    groups: NDArray[np.int64],
    scores: NDArray[np.float64],
    how: Resampling,
) -> Shortcut:
    names, facts = facts_table(acquisition.get(path, {}) for path in paths)
    if not acquisition:
        missing = "the run has no acquisition.csv"
        label, follows, r_squared = Estimate(None, reason=missing), Estimate(None, reason=missing), None
    elif not names:
        same = "every image has the same acquisition facts"
        label, follows, r_squared = Estimate(None, reason=same), Estimate(None, reason=same), None
    else:
        label = _label_from(facts, labels, groups, how, _boosted_classifier)
        follows, r_squared = _score_from(facts[~labels], scores[~labels], groups[~labels], how.seed)
    return Shortcut(
        label=label,
        follows=follows,
        thumbnail=_thumbnail_ceiling(paths, thumbnails, labels, groups, how),
        facts=tuple(names),
        strongest=_strongest(names, facts, labels),
        r_squared=r_squared,
    )


def facts_table(rows: Iterable[Mapping[str, str]]) -> tuple[list[str], NDArray[np.float64]]:
    """Facts as columns: numbers as they are (missing = NaN), words as one 0/1 column per word.

    Columns that do not vary are dropped, words with more than 12 different values too. No row is held.
    """
    found: dict[str, _Fact] = {}
    count = 0
    for row in rows:
        for fact, text in row.items():
            if fact not in found:
                found[fact] = _Fact()
            found[fact].add(text.strip(), count)
        count += 1
    names: list[str] = []
    columns: list[NDArray[np.float64]] = []
    for fact in sorted(found):
        for word, column in found[fact].columns(count):
            known = column[~np.isnan(column)]
            if len(known) and (len(known) < len(column) or np.ptp(known) > 0):
                names.append(fact if word is None else f"{fact} = {word or '(none)'}")
                columns.append(column)
    return names, np.stack(columns, axis=1) if columns else np.zeros((count, 0))


class _Fact:
    """One fact of all images: as numbers while each is one, and as words while there are few. Images that
    lack it have the empty word."""

    def __init__(self) -> None:
        self._count = 0
        self._numbers: array[float] | None = array("d")
        self._words: dict[str, int] | None = {}
        self._codes = bytearray()

    def add(self, text: str, at: int) -> None:
        """Of the image `at`; those before it that were not given lack it."""
        if self._count < at:
            self._lack(at)
        if self._numbers is not None:
            number = _number(text) if text else np.nan
            if number is None:
                self._numbers = None
            else:
                self._numbers.append(number)
        self._say(text, 1)

    def columns(self, count: int) -> Iterator[tuple[str | None, NDArray[np.float64]]]:
        """The column of numbers, or one of each word; none of many words."""
        self._lack(count)
        if self._numbers is not None:
            yield None, np.frombuffer(self._numbers, np.float64)
        elif self._words is not None:
            codes = np.frombuffer(self._codes, np.uint8)
            for word in sorted(self._words):
                yield word, (codes == self._words[word]).astype(np.float64)

    def _lack(self, until: int) -> None:
        if (missing := until - self._count) > 0:
            if self._numbers is not None:
                self._numbers.extend(array("d", [np.nan]) * missing)
            self._say("", missing)

    def _say(self, word: str, times: int) -> None:
        self._count += times
        if self._words is None:
            return
        code = self._words.setdefault(word, len(self._words))
        if len(self._words) > MOST_CATEGORIES:
            self._words, self._codes = None, bytearray()
        else:
            self._codes += bytes((code,)) * times


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _boosted_classifier(n: int, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(
        max_iter=80, max_depth=3, min_samples_leaf=_leaf(n), early_stopping=False, random_state=seed
    )


def _linear_classifier(n: int, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(
        StandardScaler(copy=False), LogisticRegression(C=0.01, max_iter=500, random_state=seed)
    )


def _leaf(n: int) -> int:
    return int(np.clip(n // 40, 3, 20))


@remembered
def _label_from(  # type: ignore[no-untyped-def]
    features: NDArray[np.floating] | RowsOnDisk,
    labels: NDArray[np.bool_],
    groups: NDArray[np.int64],
    how: Resampling,
    make,
    most: int = sys.maxsize,
) -> Estimate:
    """AUROC of what a model says of images of other patients than those that it learned from, of which there
    are at `most` so many."""
    fewest = min((len(np.unique(groups[labels == value])) for value in (False, True)), default=0)
    if fewest < 2 or len(labels) < LEAST_CASES:
        return Estimate(None, reason="too few images or patients of one label to cross-validate")
    predicted = np.full(len(labels), np.nan)
    fold = _folds(labels, groups, min(FOLDS, fewest), how.seed)
    for number in range(min(FOLDS, fewest)):
        inside, outside = np.flatnonzero(fold != number), np.flatnonzero(fold == number)
        if len(inside) > most:
            inside = np.sort(np.random.default_rng(how.seed).choice(inside, most, replace=False))
        if len(np.unique(labels[inside])) < 2:
            continue
        model = make(len(inside), how.seed).fit(
            features[inside].astype(np.float64, copy=False), labels[inside]
        )
        for begin in range(0, len(outside), most):
            some = outside[begin : begin + most]
            predicted[some] = model.predict_proba(features[some].astype(np.float64, copy=False))[:, 1]
    done = ~np.isnan(predicted)
    if len(np.unique(labels[done])) < 2:
        return Estimate(None, reason="no fold left both labels on both sides")
    return area_estimate(labels[done], predicted[done], groups[done], how)


@remembered
def _folds(labels: NDArray[np.bool_], groups: NDArray[np.int64], count: int, seed: int) -> NDArray[np.int8]:
    """The fold that tests each image: facts and thumbnails have the same where all images have both."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold = np.zeros(len(labels), np.int8)
    split = StratifiedGroupKFold(count, shuffle=True, random_state=seed).split(labels, labels, groups)
    for number, (_, outside) in enumerate(split):
        fold[outside] = number
    return fold


@remembered
def _score_from(
    features: NDArray[np.float64], scores: NDArray[np.float64], groups: NDArray[np.int64], seed: int
) -> tuple[Estimate, float | None]:
    from sklearn.ensemble import HistGradientBoostingRegressor
    from sklearn.model_selection import GroupKFold

    folds = min(FOLDS, len(np.unique(groups)))
    if folds < 2 or len(scores) < LEAST_CASES:
        return Estimate(None, reason="too few normal images or patients to cross-validate"), None
    if np.ptp(scores) == 0:
        return Estimate(None, reason="every normal image has the same score"), None
    predicted = np.empty(len(scores))
    for inside, outside in GroupKFold(folds, shuffle=True, random_state=seed).split(features, groups=groups):
        model = HistGradientBoostingRegressor(
            max_iter=60,
            max_depth=3,
            min_samples_leaf=_leaf(len(inside)),
            early_stopping=False,
            random_state=seed,
        )
        predicted[outside] = model.fit(features[inside], scores[inside]).predict(features[outside])
    r_squared = 1 - float(np.sum((scores - predicted) ** 2) / np.sum((scores - scores.mean()) ** 2))
    if np.ptp(predicted) == 0:
        return Estimate(0.0), r_squared
    return Estimate(spearman(scores, predicted).rho), r_squared


def _thumbnail_ceiling(
    paths: Sequence[str],
    thumbnails: Mapping[str, NDArray[np.float32]],
    labels: NDArray[np.bool_],
    groups: NDArray[np.int64],
    how: Resampling,
) -> Estimate:
    if not thumbnails:
        return Estimate(None, reason="the run has no thumbnails.npz")
    has = np.zeros(len(paths), bool)

    def shown() -> Iterator[NDArray[np.float32]]:
        for begin in range(0, len(paths), _SHOWN_AT_ONCE):
            some = [thumbnails.get(path) for path in paths[begin : begin + _SHOWN_AT_ONCE]]
            has[begin : begin + len(some)] = [thumbnail is not None for thumbnail in some]
            there = [thumbnail.ravel() for thumbnail in some if thumbnail is not None]
            if there:
                yield np.nan_to_num(np.stack(there, dtype=np.float32), copy=False)

    pixels = RowsOnDisk("thumbnails of labelled images", shown())
    if not len(pixels):
        return Estimate(None, reason="no test image has a thumbnail")
    return _label_from(pixels, labels[has], groups[has], how, _linear_classifier, MOST_LEARNED)


def _strongest(
    names: Sequence[str], facts: NDArray[np.float64], labels: NDArray[np.bool_], at_most: int = 5
) -> tuple[tuple[str, float], ...]:
    if len(set(labels.tolist())) < 2:
        return ()
    found = []
    for name, column in zip(names, facts.T, strict=True):
        known = np.nan_to_num(column, nan=float(np.nanmin(column)) - 1)
        area = float(auroc(labels, known))
        found.append((name, max(area, 1 - area)))
    return tuple(sorted(found, key=lambda pair: -pair[1])[:at_most])
