"""What one folder name says: a split, a label, a finding, or that it cannot be taken for any of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

SPLITS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
_NORMAL = {
    *("normal", "normals", "good", "ok", "healthy", "negative", "negatives", "neg", "control", "controls"),
    *("unremarkable", "unaffected", "norm", "ctrl", "ctrls", "wnl"),
}
_ABNORMAL = {
    *("abnormal", "abnormals", "anomaly", "anomalies", "anomalous", "bad", "nok", "defect", "defective"),
    *("disease", "diseased", "pathology", "pathological", "pathologic", "positive", "positives", "pos"),
    *("sick", "affected", "infected"),
}
_WHAT_MAY_BE_ABSENT = {
    *("finding", "findings", "abnormality", "abnormalities", "lesion", "lesions", "disease", "diseases"),
    *("pathology", "pathologies", "anomaly", "anomalies", "defect", "defects"),
}
_MAY_BE_CONTROLS = {"hc", "hcs", "nc", "cn", "nl"}
_NOT = {"no", "non", "not", "without"}
_GLUED_NOT = ("non", "not", "un")
_UNLABELLED = {"unlabelled", "unlabeled", "unknown", "unsorted"}
_UNSURE = {
    *("false", "possible", "probable", "suspected", "suspicious", "questionable", "equivocal", "uncertain"),
    *("unclear", "indeterminate", "ambiguous", "borderline", "mixed"),
}
_HOUSEKEEPING = {
    *("thumbnail", "thumbnails", "thumbs", "preview", "previews", "icon", "icons", "screenshot"),
    *("screenshots", "overlay", "overlays", "heatmap", "heatmaps", "map", "maps", "figure", "figures"),
    *("to", "do", "todo", "review", "reviewed", "check", "checked", "pending", "inbox", "incoming", "new"),
    *("old", "tmp", "temp", "backup", "bak", "archive", "misc", "miscellaneous", "other", "others", "rest"),
    *("output", "outputs", "result", "results", "export", "exports", "raw", "original", "originals"),
    *("processed", "preprocessed", "resized", "cropped", "derived", "excluded", "exclude", "rejected"),
    *("discarded", "duplicates", "duplicate", "trash", "junk", "deleted", "quality", "docs", "readme"),
    *("metadata", "meta", "logs", "cache", "examples", "example", "demo"),
}
_FILLERS = {
    *("image", "images", "img", "imgs", "picture", "pictures", "photo", "photos", "scan", "scans", "film"),
    *("films", "xray", "xrays", "x", "ray", "rays", "radiograph", "radiographs", "cxr", "ct", "mr", "mri"),
    *("pet", "oct", "fundus", "dicom", "dcm", "png", "jpg", "jpeg", "tif", "tiff", "nii", "nifti", "data"),
    *("dataset", "set", "class", "label", "group", "cohort", "case", "cases", "study", "studies", "subject"),
    *("subjects", "patient", "patients", "person", "persons", "sample", "samples", "slice", "slices"),
    *("volume", "volumes", "only", "all", "the", "of", "copy", "chest", "brain", "head", "lung", "lungs"),
    *("breast", "retina", "eye", "eyes", "knee", "hand", "tissue", "t1", "t2", "flair", "pa", "ap"),
}
_NUMBERED = re.compile(
    r"(patient|subject|sub|pat|study|series|session|ses|visit|scan|case|site|centre|center|hospital|fold|part"
    r"|batch|group|run|image|img|p|s|v|n)?\d+"
)
_COPY = re.compile(r"[\s_\-]*(\(\d+\)|\bcopy\b)+$", re.IGNORECASE)
_MASKS = {
    *("mask", "masks", "segmentation", "segmentations", "seg", "segs", "label", "labels", "annotation"),
    *("annotations", "groundtruth", "gt", "contour", "contours", "roi", "rois"),
}
_BESIDE_MASKS = {"lesion", "lesions", "tumour", "tumor", "manual", "expert", "binary", "tr", "ts"}


@dataclass(frozen=True)
class Said:
    """What a name says. `finding` is a word for what is wrong, which counts beside a folder of normals alone.

    `unclear` is why the name gives no label though it may be meant to; with `beside` this matters only where
    a folder of normals stands beside it.
    """

    split: str = ""
    label: str = ""
    finding: str = ""
    unclear: str = ""
    beside: bool = False


def words_of(name: str) -> list[str]:
    """A name in lower-case words; a copy's number (`NORMAL (2)`) is left out, `NoFinding` is two words."""
    parted = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", _COPY.sub("", name.strip()))
    return [word for word in re.split(r"[\W_]+", parted.lower()) if word]


def is_mask_folder(name: str) -> bool:
    """`masks`, `ground_truth`, `labelsTr`, `lesion masks`, `test_labels`."""
    words = " ".join(words_of(name)).replace("ground truth", "gt").split()
    others = {word for word in words if word not in _MASKS}
    return len(others) < len(words) and others <= _BESIDE_MASKS | _FILLERS | set(SPLITS)


def read_name(name: str) -> Said:
    """What a folder's name says by itself."""
    words = words_of(name)
    splits = {SPLITS[word] for word in words if word in SPLITS}
    if len(splits) > 1:
        return Said(unclear="names two splits")
    split = next(iter(splits), "")
    words = [word for word in words if word not in SPLITS]
    if any(word in _UNLABELLED for word in words) or is_mask_folder(name):
        return Said(split)
    votes, others, negated = _votes(words)
    meant = [word for word in others if word not in _FILLERS and not _NUMBERED.fullmatch(word)]
    if len(votes) > 1:
        return Said(split, unclear="contradicts itself")
    if not meant:
        if negated:
            return Said(split, unclear="does not say what is absent")
        if not votes:
            return Said(split, unclear="names no finding", beside=True)
        return Said(split, votes.pop())
    if "normal" in votes:
        return Said(split, unclear="does not say that all is normal")
    if negated:
        return Said(split, unclear="says what is absent, not that all else is normal")
    if set(meant) <= _MAY_BE_CONTROLS:
        return Said(split, unclear="may stand for healthy controls")
    if set(meant) & _UNSURE:
        return Said(split, unclear="is not sure", beside=True)
    if set(meant) <= _HOUSEKEEPING:
        return Said(split, unclear="names no finding", beside=True)
    return Said(split, finding=" ".join(others))


def _votes(words: list[str]) -> tuple[set[str], list[str], bool]:
    """Which labels the words speak for, the words that speak for none, and whether one of these is denied."""
    votes: set[str] = set()
    others: list[str] = []
    denied = denying = False
    for word in words:
        if word in _NOT:
            denying = True
            continue
        if word == "free" and others:
            denied = True
            continue
        if word == "free" and votes:
            votes = {"normal"}
            continue
        plain, glued = _parted(word)
        deny = denying != glued
        if plain in _NORMAL:
            votes.add("abnormal" if deny else "normal")
        elif plain in _ABNORMAL or (deny and plain in _WHAT_MAY_BE_ABSENT):
            votes.add("normal" if deny else "abnormal")
        else:
            others.append(word)
            denied = denied or (deny and word not in _FILLERS)
            continue
        denying = False
    return votes, others, denied or (denying and not votes)


def _parted(word: str) -> tuple[str, bool]:
    """A word without a negation that is glued to it, and whether there was one."""
    known = _NORMAL | _ABNORMAL | _WHAT_MAY_BE_ABSENT
    for start in () if word in known else ("no", *_GLUED_NOT):
        if word.startswith(start) and word[len(start) :] in known:
            return word[len(start) :], True
    return word, False
