"""DICOM series and multi-frame files with odd attributes, odd places, odd pixels and damaged bytes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

from pydicom.datadict import keyword_dict, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset, FileDataset
from pydicom.tag import Tag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from tests.fuzz import phantom
from tests.fuzz.damage import damaged

Files = dict[str, bytes]

_NUMBERS = (
    *(b"", b"0", b"-0", b"1", b"-1", b"nan", b"inf", b"-inf", b"1e400", b"1e-300", b"1e30", b"1E5", b"0.05", b"0.04"),
    *(b"abc", b"1,5", b"0x10", b" 1 ", b"99999999999999999999", b"1\\2", b"1\\2\\3", b"1\\nan", b"0\\0", b"-4\\4"),
    *(b"\0", b"\xff\xfe", b"4\\4\\4", b"1\\0\\0\\0\\1", b"0\\0\\0\\0\\0\\0", b"1\\0\\0\\1\\0\\0", b"1.5"),
    *(b"2\\0\\0\\0\\2\\0", b"1e20\\1e20\\1e20", b"9" * 5000, b"1024", b"-1024"),
    *(b"0.999\\0.04\\0\\-0.04\\0.999\\0", b"0\\1\\0\\0\\0\\-1"),
)
_TEXTS = (
    *(b"", b"A" * 70, b"A" * 20000, b"\x1b$B\x1b(B", b"\xff\xfe\xfd", b"..", b"../../x", b"<script>alert(1)</script>"),
    *(b"a\r\nb", b"\0\0", b"[red]x[/red]", b"\\\\\\\\", b"ISO_IR 192", b"ISO 2022 IR 87", b"NONSENSE"),
    *(b"MR", b"CT", b"SEG"),
    *(b"ORIGINAL\\PRIMARY\\LOCALIZER", b"DERIVED\\SECONDARY", b"B70f", b"LUNG", b"99999999", b"20201399", b"256000"),
    *(b"\xe4\xb8\xad\xe6\x96\x87", b"PALETTE COLOR", b"RGB", b"MONOCHROME1", b"US", b"mgml", b"Doe^J^^^^^^=x=y=z=w"),
)
_CLASSES = (b"1.2.840.10008.5.1.4.1.1.7", b"1.2.840.10008.5.1.4.1.1.4")
_UIDS = (b"", b"1", b"1." * 70, b"abc", b"../x", b"1.2\\3.4", *_CLASSES)
_SYNTAXES = (
    *("1.2.840.10008.1.2", "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"),
    *("1.2.3", "", "x" * 80),
    *("1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.201"),
    *("1.2.840.10008.1.2.4.100", "1.2.840.10008.1.2.1.98"),
)
_WRITTEN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless)
_SHORTS = (0, 1, 2, 7, 8, 11, 12, 15, 16, 17, 22, 23, 24, 32, 64, 255, 1500, 1501, 32767, 32768, 65535)
_GEOMETRY = ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "RescaleSlope", "RescaleIntercept")
_PIXELS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "SamplesPerPixel")
_OTHERS = (
    *("NumberOfFrames", "SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID"),
    *("FrameOfReferenceUID"),
    *("Modality", "ImageType", "SpecificCharacterSet", "PatientName", "PatientID", "StudyDate", "SeriesDescription"),
    *("ConvolutionKernel", "SeriesNumber", "InstanceNumber", "RescaleType", "PhotometricInterpretation"),
    *("PlanarConfiguration", "AcquisitionNumber", "ContrastBolusAgent", "AcquisitionTime", "SliceThickness"),
    *("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "PixelData", "PixelPaddingValue"),
)
_VRS = ("DS", "IS", "US", "SS", "FD", "FL", "SQ", "OB", "UN", "UI", "LO", "PN", "AT", "UL", "DA", "OW", "UT")


def write_series(folder: Path, rng: Random, name: str) -> tuple[Path, str]:
    """Write the folder of one odd series and return it with what was done to it."""
    syntax = rng.choices(_WRITTEN, (40, 4, 3, 4, 0.4))[0]
    files: Files = {f"i{index:02d}.dcm": content for index, content in enumerate(phantom.dicom_slices(syntax))}
    changes = (_attribute, _attribute, _attribute, _place, _place, _file, _file, _files, _syntax, _pixels)
    done = []
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        if any(name.endswith(".dcm") for name in files):  # else nothing is left to change
            done.append(rng.choice(changes)(files, rng))
    return _write(folder / name, files), "; ".join((syntax.name, *done))


def write_multiframe(folder: Path, rng: Random, name: str) -> tuple[Path, str]:
    """Write one odd multi-frame file and return it, or its folder, with what was done to it."""
    syntax = rng.choices(_WRITTEN, (40, 4, 3, 4, 0.4))[0]
    files: Files = {f"{name}.dcm": phantom.dicom_multiframe(syntax)}
    changes = (_group, _group, _group, _group, _attribute, _file, _syntax, _pixels)
    done = [rng.choice(changes)(files, rng) for _ in range(rng.choice((1, 1, 2)))]
    path = _write(folder / name, files)
    return (path if rng.random() < 0.5 else path / f"{name}.dcm"), "; ".join((f"multi-frame, {syntax.name}", *done))


def _write(folder: Path, files: Files) -> Path:
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def _some(files: Files, rng: Random) -> list[str]:
    names = [name for name in files if name.endswith(".dcm")]
    if rng.random() < 0.4 or len(names) < 2:
        return names
    return rng.sample(names, rng.choice((1, 1, 2, len(names) // 2)))


def _edit(files: Files, names: list[str], edit: Callable[[FileDataset], None]) -> None:
    for name in names:
        try:
            files[name] = phantom.edited(files[name], edit)
        except Exception:  # an earlier damage has made it unreadable: it stays as it is
            continue


def _raw(data: Dataset, keyword: str, vr: str, value: bytes) -> None:
    tag = Tag(tag_for_keyword(keyword) or 0)
    value += b"" if len(value) % 2 == 0 else (b"\0" if vr in ("UI", "OB", "UN") else b" ")
    data[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True)


def _attribute(files: Files, rng: Random) -> str:
    """Take an attribute away, or give it an odd value or another VR, in some files or all."""
    keyword = rng.choice(rng.choice((_GEOMETRY, _PIXELS, _OTHERS, _OTHERS, tuple(keyword_dict)[:400])))
    names, action = _some(files, rng), rng.choice(("gone", "value", "value", "value", "type"))
    vr = rng.choice(_VRS)
    value = rng.choice(rng.choice((_NUMBERS, _TEXTS, _UIDS)))
    short = rng.choice(_SHORTS).to_bytes(2, "little")

    def edit(data: FileDataset) -> None:
        if action == "gone":
            data.pop(tag_for_keyword(keyword), None)
            return
        usual = data.get_item(keyword)
        own = str(usual.VR) if usual is not None and usual.VR else _usual_vr(keyword)
        if action == "type":
            _raw(data, keyword, vr, value)
        elif own in ("US", "SS"):
            _raw(data, keyword, own, short)
        elif own in ("SQ", "OW", "OB"):
            _raw(data, keyword, own, value * 8)
        else:
            _raw(data, keyword, own, value)

    _edit(files, names, edit)
    shown = "" if action == "gone" else f" {vr if action == 'type' else ''} {value[:30]!r}/{short!r}"
    return f"{keyword} {action}{shown} in {len(names)}"


def _nested(depth: int) -> bytes:
    """Return the value of a sequence of plane positions in plane positions, lengths undefined."""
    undefined, nothing = b"\xff\xff\xff\xff", b"\0\0\0\0"
    opened = b"\xfe\xff\0\xe0" + undefined + b"\x20\0\x13\x91SQ\0\0" + undefined
    closed = b"\xfe\xff\xdd\xe0" + nothing + b"\xfe\xff\x0d\xe0" + nothing
    return opened * depth + closed * depth


def _usual_vr(keyword: str) -> str:
    return "UI" if keyword.endswith("UID") else "SQ" if keyword.endswith("Sequence") else "LO"


def _place(files: Files, rng: Random) -> str:
    """Move slices, or all of them."""
    kind = rng.choice(
        ("jitter", "one away", "all at one", "reversed", "tilt", "far", "order", "uneven", "drift", "turn")
    )
    size = rng.choice((0.01, 0.3, 1, 2.9, 6, 50, 1e6, 1e17))
    names = [name for name in files if name.endswith(".dcm")]
    odd = rng.choice(names)
    for index, name in enumerate(names):

        def edit(data: FileDataset, index: int = index, name: str = name) -> None:
            x, y, z = -40.0, -30.0, 100 + 6.0 * index
            if kind == "jitter":
                z += rng.uniform(-size, size)
            elif kind == "one away" and name == odd:
                x, y, z = rng.choice(((x + size, y, z), (x, y + size, z), (x, y, z + size)))
            elif kind == "all at one":
                z = 100.0
            elif kind == "reversed":
                z = -z
            elif kind == "tilt":
                y += size * index
            elif kind == "far":
                x, z = x + size * 1e3, z - size * 1e3
            elif kind == "order":
                z = 100 + 6.0 * (index * 5 % len(names))
            elif kind == "uneven":
                z += (index > 6) * size
            elif kind == "drift":
                z += 0.02 * size * index**2
            elif kind == "turn":
                data.ImageOrientationPatient = [1, 0, 0, 0, 0, -1]
                y, z = z, y
            data.ImagePositionPatient = [f"{value:.10g}" for value in (x, y, z)]

        _edit(files, [name], edit)
    return f"places: {kind} {size}"


def _file(files: Files, rng: Random) -> str:
    """Damage the bytes of some files, of the header rather than of the pixels."""
    done = ""
    for name in _some(files, rng):
        files[name], done = damaged(files[name], rng, last=rng.choice((140, 400, 1200, 1200, 2500, None)))
    return done


def _files(files: Files, rng: Random) -> str:
    """Take files away, add copies, or things that are no slices."""
    names = [name for name in files if name.endswith(".dcm")]
    name, other = rng.choice(names), rng.choice(names)
    kind = rng.choice(
        ("missing", "two missing", "copy", "same place", "empty", "text", "DICOMDIR", "few", "one", "phase", "swap")
    )
    if kind in ("missing", "two missing"):
        for gone in rng.sample(names, min(len(names), 1 + (kind == "two missing"))):
            del files[gone]
    elif kind == "copy":
        files["copy.dcm"] = files[name]
    elif kind == "same place":
        _edit_copy(files, name, "again.dcm", "SOPInstanceUID", b"1.2.3.4")
    elif kind == "empty":
        files["empty.dcm"] = rng.choice((b"", b"\0" * 132, b"\0" * 128 + b"DICM", b"\0" * 128 + b"DICM" + b"\xff" * 50))
    elif kind == "text":
        files[rng.choice(("readme", "notes.txt", ".hidden", "x.nii", "x.zip"))] = b"hello"
    elif kind == "DICOMDIR":
        files["DICOMDIR"] = files[name]
    elif kind in ("few", "one"):
        for gone in names[rng.randrange(2, 9) if kind == "few" else 1 :]:
            del files[gone]
    elif kind == "phase":
        for index, each in enumerate(names):
            _edit_copy(files, each, f"p{index}.dcm", rng.choice(("AcquisitionNumber", "AcquisitionTime")), b"2")
    else:
        files[name], files[other] = files[other], files[name]
    return f"files: {kind}"


def _edit_copy(files: Files, name: str, copy: str, keyword: str, value: bytes) -> None:
    files[copy] = files[name]

    def edit(data: FileDataset) -> None:
        _raw(data, keyword, "UI" if keyword.endswith("UID") else "SH", value)

    _edit(files, [copy], edit)


def _syntax(files: Files, rng: Random) -> str:
    """Say another transfer syntax than the one that holds, or none."""
    syntax, names = rng.choice(_SYNTAXES), _some(files, rng)
    for name in names:
        content = files[name]
        at = content.find(b"UI", content.find(b"\x02\0\x10\0UI")) if b"\x02\0\x10\0UI" in content[:400] else -1
        if at < 0:
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "little")
        value = syntax.encode().ljust(length, b"\0")[: max(length, 0)]
        files[name] = content[: at + 4] + value + content[at + 4 + length :]
    return f"syntax {syntax!r} in {len(names)}"


def _pixels(files: Files, rng: Random) -> str:
    """Give more, fewer or other pixels than the header says, or damage them."""
    kind, names = rng.choice(("none", "half", "twice", "odd", "noise", "damaged", "zero")), _some(files, rng)
    noise = rng.randbytes(2000)

    def edit(data: FileDataset) -> None:
        item = data.get_item("PixelData")
        pixels = bytes(item.value) if item is not None and item.value else b""
        changed = {
            "none": b"",
            "half": pixels[: len(pixels) // 2],
            "twice": pixels * 2,
            "odd": pixels[:-3],
            "noise": (noise * (len(pixels) // 2000 + 1))[: len(pixels)],
            "damaged": damaged(pixels, rng)[0],
            "zero": bytes(len(pixels)),
        }[kind]
        data["PixelData"]._value = changed

    _edit(files, names, edit)
    return f"pixels: {kind} in {len(names)}"


def _group(files: Files, rng: Random) -> str:
    """Break a functional group of a multi-frame file, or its list of frames."""
    kind = rng.choice(("frames", "fewer", "more", "empty item", "no group", "empty group", "value", "shared", "nested"))
    keyword, group = rng.choice(
        (
            ("ImagePositionPatient", "PlanePositionSequence"),
            ("ImageOrientationPatient", "PlaneOrientationSequence"),
            ("PixelSpacing", "PixelMeasuresSequence"),
            ("RescaleSlope", "PixelValueTransformationSequence"),
            ("RescaleIntercept", "PixelValueTransformationSequence"),
        )
    )
    value, count = rng.choice(_NUMBERS), rng.choice((b"0", b"1", b"13", b"15", b"-1", b"1000000000", b"x", b""))

    def edit(data: FileDataset) -> None:
        frames = list(data.PerFrameFunctionalGroupsSequence)
        shared = data.SharedFunctionalGroupsSequence[0]
        chosen = rng.choice(frames) if group in frames[0] else shared
        if kind == "frames":
            _raw(data, "NumberOfFrames", "IS", count)
        elif kind == "fewer":
            data.PerFrameFunctionalGroupsSequence = frames[: rng.randrange(len(frames))]
        elif kind == "more":
            data.PerFrameFunctionalGroupsSequence = frames * 2
            _raw(data, "NumberOfFrames", "IS", rng.choice((str(2 * len(frames)).encode(), count)))
        elif kind == "empty item":
            data.PerFrameFunctionalGroupsSequence = [*frames[:-1], Dataset()]
        elif kind == "no group":
            del chosen[group]
        elif kind == "empty group":
            setattr(chosen, group, rng.choice(([], [Dataset()])))
        elif kind == "value":
            _raw(chosen[group].value[0], keyword, "DS", value)
        elif kind == "shared":
            data.SharedFunctionalGroupsSequence = rng.choice(([], [Dataset()]))
        else:
            _raw(data, rng.choice(("SharedFunctionalGroupsSequence", group)), "SQ", _nested(rng.choice((3, 100, 2000))))

    _edit(files, list(files), edit)
    return f"groups: {kind} {keyword} {value[:30]!r} {count!r}"
