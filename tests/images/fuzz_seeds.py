"""Small valid files of every format that is read, from which the fuzzer makes bad ones."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import gdcm
import nibabel
import numpy as np
import pydicom
import tifffile
from made_dicom import dicom_dataset
from PIL import Image
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian, ImplicitVRLittleEndian

_GREY = (np.add.outer(np.arange(24), np.arange(20)) * 5 % 256).astype(np.uint8)
_DEEP = (_GREY.astype(np.uint16) * 13).astype(np.uint16)
_COLOUR = np.stack([_GREY, _GREY[::-1], 255 - _GREY], axis=-1)
_GDCM = (
    "JPEGLosslessProcess14_1",
    "JPEGLosslessProcess14",
    "JPEGLSLossless",
    "JPEGLSNearLossless",
    "JPEG2000Lossless",
    "RLELossless",
)
_NRRD = (
    "NRRD0005\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 20 24 3\n"
    "space directions: (1,0,0) (0,0.5,0) (0,0,2)\nkinds: domain domain domain\nendian: little\n"
    "encoding: {}\nspace origin: (-10,20,30)\n\n"
)
_META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = {}\nTransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = -10 20 30\n"
    "CenterOfRotation = 0 0 0\nAnatomicalOrientation = RAI\nElementSpacing = 1 0.5 2\nDimSize = 20 24 3\n"
    "ElementType = MET_SHORT\nElementDataFile = LOCAL\n"
)


def seeds(folder: Path, zoo: Path | None = None, largest: int = 60_000) -> dict[str, bytes]:
    """Files by name; with `zoo`, real DICOM files of up to `largest` bytes below that folder too."""
    made = dict([*_dicom(folder), *_nifti(), *_grids(), *_pictures(), *_tiff(), *_npz()])
    for path in sorted(zoo.rglob("*")) if zoo is not None else ():
        if path.is_file() and path.suffix != ".csv" and path.stat().st_size <= largest:
            made[f"zoo {path.name}"] = path.read_bytes()
    return made


def _saved(dataset: FileDataset) -> bytes:
    dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = "1.2.3.4"
    buffer = io.BytesIO()
    pydicom.dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _dicom(folder: Path) -> Iterator[tuple[str, bytes]]:
    grey, deep, colour = (dicom_dataset(pixels) for pixels in (_GREY, _DEEP, _COLOUR))
    deep.RescaleSlope, deep.RescaleIntercept = "1.5", "-1024"
    deep.WindowCenter, deep.WindowWidth = "40", "400"
    deep.ImagePositionPatient, deep.ImageOrientationPatient = [0, 0, 5], [1, 0, 0, 0, 1, 0]
    deep.PixelSpacing, deep.SliceThickness, deep.SeriesInstanceUID = [0.5, 0.5], "2", "1.2.3"
    yield "grey.dcm", _saved(grey)
    yield "deep.dcm", _saved(deep)
    yield "colour.dcm", _saved(colour)
    yield "signed.dcm", _saved(dicom_dataset(_DEEP.astype(np.int16), PixelPaddingValue=-5))
    yield "floats.dcm", _saved(dicom_dataset(_DEEP.astype(np.float32)))
    yield "frames.dcm", _saved(dicom_dataset(np.stack([_GREY] * 3)))
    yield "enhanced.dcm", _saved(_enhanced())
    for name, syntax in (
        ("implicit", ImplicitVRLittleEndian),
        ("big", ExplicitVRBigEndian),
        ("deflated", DeflatedExplicitVRLittleEndian),
    ):
        other = dicom_dataset(_GREY)
        other.file_meta.TransferSyntaxUID = syntax
        yield f"{name}.dcm", _saved(other)
    plain = folder / "plain.dcm"
    for kind, dataset in (("grey", grey), ("deep", deep), ("colour", colour)):
        plain.write_bytes(_saved(dataset))
        for syntax in _GDCM:
            yield f"{kind} {syntax}.dcm", _recompressed(dataset, plain, folder / "packed.dcm", syntax)
    jpeg = dicom_dataset(_GREY)
    jpeg.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.50"
    buffer = io.BytesIO()
    Image.fromarray(_GREY).save(buffer, "JPEG")
    jpeg.PixelData = pydicom.encaps.encapsulate([buffer.getvalue()])
    jpeg["PixelData"].is_undefined_length = True
    yield "jpeg.dcm", _saved(jpeg)


def _enhanced() -> FileDataset:
    dataset = dicom_dataset(np.stack([_DEEP] * 3))
    dataset.SharedFunctionalGroupsSequence = [Dataset()]
    shared = dataset.SharedFunctionalGroupsSequence[0]
    shared.PixelMeasuresSequence, shared.PlaneOrientationSequence = [Dataset()], [Dataset()]
    shared.PixelMeasuresSequence[0].PixelSpacing = [0.5, 0.5]
    shared.PlaneOrientationSequence[0].ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PerFrameFunctionalGroupsSequence = [Dataset() for _ in range(3)]
    for number, frame in enumerate(dataset.PerFrameFunctionalGroupsSequence):
        frame.PlanePositionSequence = [Dataset()]
        frame.PlanePositionSequence[0].ImagePositionPatient = [0, 0, number * 2]
    return dataset


def _recompressed(dataset: FileDataset, source: Path, target: Path, syntax: str) -> bytes:
    """`dataset`, which lies in `source`, with its pixels as GDCM packs them."""
    reader, change, writer = gdcm.ImageReader(), gdcm.ImageChangeTransferSyntax(), gdcm.ImageWriter()
    reader.SetFileName(str(source))
    assert reader.Read()
    change.SetTransferSyntax(gdcm.TransferSyntax(getattr(gdcm.TransferSyntax, syntax)))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer.SetFileName(str(target))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    packed, result = pydicom.dcmread(target), copy.deepcopy(dataset)
    result.file_meta.TransferSyntaxUID = packed.file_meta.TransferSyntaxUID
    result.PhotometricInterpretation = packed.PhotometricInterpretation
    result.PixelData = packed.PixelData
    result["PixelData"].is_undefined_length = True
    return _saved(result)


def _nifti() -> Iterator[tuple[str, bytes]]:
    volume = np.stack([_DEEP.astype(np.int16)] * 4, axis=-1)
    affine = np.diag([1, 2, 3, 1])
    yield "volume.nii", nibabel.Nifti1Image(volume, affine).to_bytes()
    yield "second.nii", nibabel.Nifti2Image(volume.astype(np.float32), affine).to_bytes()
    yield "times.nii", nibabel.Nifti1Image(np.stack([volume] * 2, axis=-1), affine).to_bytes()
    yield "packed.nii.gz", gzip.compress(nibabel.Nifti1Image(volume, affine).to_bytes(), mtime=0)
    coloured = np.zeros(volume.shape, dtype=[("R", "u1"), ("G", "u1"), ("B", "u1")])
    yield "colour.nii", nibabel.Nifti1Image(coloured, affine).to_bytes()


def _grids() -> Iterator[tuple[str, bytes]]:
    """NRRD, MetaImage and MGH, their voxels behind the header."""
    voxels = np.stack([_DEEP.astype("<i2")] * 3).tobytes()
    yield "raw.nrrd", _NRRD.format("raw").encode() + voxels
    yield "gzip.nrrd", _NRRD.format("gzip").encode() + gzip.compress(voxels, mtime=0)
    yield "bzip2.nrrd", _NRRD.format("bzip2").encode() + bz2.compress(voxels)
    vectors = _NRRD.replace("dimension: 3", "dimension: 4").replace("sizes: 20", "sizes: 1 20")
    vectors = vectors.replace("directions: (", "directions: none (").replace("kinds:", "kinds: list")
    yield "vectors.nrrd", vectors.format("raw").encode() + voxels
    yield "raw.mha", _META.format("False").encode() + voxels
    yield "packed.mha", _META.format("True").encode() + zlib.compress(voxels)
    colour = _META.replace("SHORT", "UCHAR").replace("24 3", "24 1")
    colour = colour.replace("ElementType", "ElementNumberOfChannels = 3\nElementType")
    yield "colour.mha", colour.format("False").encode() + _COLOUR.tobytes()
    surfer = nibabel.freesurfer.MGHImage(
        np.stack([_DEEP.astype(np.float32)] * 3, axis=-1), np.diag([1, 2, 3, 1])
    )
    yield "plain.mgh", surfer.to_bytes()
    yield "packed.mgz", gzip.compress(surfer.to_bytes(), mtime=0)


def _pictures() -> Iterator[tuple[str, bytes]]:
    grey, colour = Image.fromarray(_GREY), Image.fromarray(_COLOUR)
    for name, picture, how in (
        ("grey.png", grey, {}),
        ("deep.png", Image.fromarray(_DEEP), {}),
        ("colour.png", colour, {}),
        ("alpha.png", colour.convert("RGBA"), {}),
        ("palette.png", colour.convert("P"), {"transparency": 3}),
        ("bits.png", grey.convert("1"), {}),
        ("grey.jpg", grey, {}),
        ("colour.jpg", colour, {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"}),
        ("progressive.jpg", colour, {"progressive": True}),
        ("inks.jpg", colour.convert("CMYK"), {}),
        ("grey.bmp", grey, {}),
        ("colour.bmp", colour, {}),
        ("palette.bmp", colour.convert("P"), {}),
        ("bits.bmp", grey.convert("1"), {}),
        ("grey.gif", grey, {}),
        ("palette.gif", colour.convert("P"), {"transparency": 3}),
        ("exact.webp", colour, {"lossless": True}),
        ("lossy.webp", colour.convert("RGBA"), {}),
        ("grey.pgm", grey, {}),
        ("colour.ppm", colour, {}),
        ("bits.pbm", grey.convert("1"), {}),
    ):
        buffer = io.BytesIO()
        kinds = {"jpg": "JPEG", "pgm": "PPM", "pbm": "PPM"}
        ending = name.rpartition(".")[2]
        picture.save(buffer, kinds.get(ending, ending.upper()), **how)
        yield name, buffer.getvalue()
    stream = io.BytesIO()
    np.save(stream, _COLOUR)
    yield "colour.npy", stream.getvalue()
    yield "deep.pgm", b"P5 # of 12 bits\n20 24\n4095\n" + _DEEP.astype(">u2").tobytes()
    yield "numbers.pgm", b"P2 20 24 255\n" + b" ".join(b"%d" % value for value in _GREY.ravel())


def _tiff() -> Iterator[tuple[str, bytes]]:
    for name, pixels, how in (
        ("strips.tif", _GREY, {"rowsperstrip": 4}),
        ("tiles.tif", _DEEP, {"tile": (16, 16)}),
        ("deflated.tif", _COLOUR, {"compression": "zlib", "predictor": True}),
        ("pages.tif", np.stack([_GREY] * 3), {"photometric": "minisblack"}),
        ("floats.tif", _DEEP.astype(np.float32), {"bigtiff": True}),
        ("planes.tif", np.moveaxis(_COLOUR, -1, 0), {"photometric": "rgb", "planarconfig": "separate"}),
        ("big.tif", _DEEP, {"byteorder": ">"}),
    ):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, **how)  # type: ignore[arg-type]
        yield name, buffer.getvalue()
    for compression in ("tiff_lzw", "packbits", "jpeg", "tiff_deflate"):
        buffer = io.BytesIO()
        Image.fromarray(_COLOUR).save(buffer, "TIFF", compression=compression)
        yield f"{compression}.tif", buffer.getvalue()


def _npz() -> Iterator[tuple[str, bytes]]:
    arrays = {
        "train_images": np.stack([_GREY] * 4),
        "train_labels": np.array([[0], [1], [0], [2]], np.uint8),
        "test_images": np.stack([_COLOUR] * 2),
        "val_images": np.zeros((1, 4, 5, 6), np.float32),
    }
    for name, method in (
        ("stored", zipfile.ZIP_STORED),
        ("deflated", zipfile.ZIP_DEFLATED),
        ("lzma", zipfile.ZIP_LZMA),
        ("bzip2", zipfile.ZIP_BZIP2),
    ):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for key, values in arrays.items():
                packed = io.BytesIO()
                np.save(packed, values)
                archive.writestr(zipfile.ZipInfo(f"{key}.npy"), packed.getvalue(), method)
        yield f"{name}.npz", buffer.getvalue()
