"""The names of image files without their extensions."""

from __future__ import annotations

_EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".dcm", ".dicom", ".nii.gz", ".nii", ".npz"),
    *(".nrrd", ".nhdr", ".mha", ".mhd", ".mgh", ".mgz", ".hdr.gz", ".hdr"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".gif", ".webp", ".npy"),
)


def without_extension(name: str) -> str:
    """The name without the extension of an image format; other dots stay, as in UIDs."""
    ending = next((end for end in _EXTENSIONS if name.lower().endswith(end)), "")
    return name[: len(name) - len(ending)]
