"""Which DICOM series of a study is segmented, and why the others are not."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from bundle.errors import InputError
from bundle.read.dicom import Series, arrange
from bundle.read.dicom_slices import SECONDARY_CAPTURE, Slice, read_slices
from bundle.read.finding import warning

PLANES = ("sagittal", "coronal", "axial")  # by the axis along which the normal runs most

# Slices nearer to each other than this are no better: the networks see 1.3 mm.
THIN_ENOUGH_MM = 1.0
# A series that covers less of the body than this share of the longest one loses to it, however thin its slices.
COVERAGE_SHARE = 0.8

_HOUNSFIELD = ("", "HU", "HU_MOD", "US")
_KINDS = {
    "RTSTRUCT": "a structure set (RTSTRUCT)",
    "RTDOSE": "a dose (RTDOSE)",
    "RTPLAN": "a plan (RTPLAN)",
    "SEG": "a segmentation (SEG)",
    "SR": "a report (SR)",
    "PR": "a presentation state (PR)",
    "KO": "a selection of key objects (KO)",
    "DOC": "a document",
    "REG": "a registration (REG)",
}
_SHARP_WORDS = re.compile(r"\b(lung|lunge|poumon|bone|boneplus|knochen|edge|sharp)\b", re.IGNORECASE)
# What series descriptions call the phases, in English, German and French; the first that fits counts. Series that say
# nothing rank 1 with a contrast agent in the header and 2 without. The networks learned from portal venous scans.
_PHASES = (
    (0, "portal venous", re.compile(r"portal|\bven[oö]|\bvein|\bpv[pd]?\b|\bvp\b", re.IGNORECASE)),
    (4, "unenhanced", re.compile(r"nati[vf]|unenh|\bnon.?(con|enh)|\bw\W?o\b|without|\bsans\b|plain|\bpre\b", re.I)),
    (3, "arterial", re.compile(r"\bart|angio|\bcta\b|\baort", re.IGNORECASE)),
    (3, "delayed", re.compile(r"delay|\blate\b|sp[aä]t|tardi|excret", re.IGNORECASE)),
)
# Siemens B70f, Br64d, Bl57, I70f and the like: from 50 on the kernels are for lung and bone.
_SIEMENS = re.compile(r"\b[BIHUQT][a-z]{0,2}(\d\d)[a-z]?\b")
# Toshiba and Canon FC30-39, FC80-89: bone, FC50-59: lung.
_CANON = re.compile(r"\bFC(3|5|8)\d\b")


@dataclass(frozen=True)
class Candidate:
    """One series, or one multi-frame file of it.

    Attributes:
        source: the folder that holds its files, or the multi-frame file.
        uid: SeriesInstanceUID.
        study: StudyInstanceUID, or the folder where there is none.
        slices: all its pictures.
        damaged: a file of the folder that cannot be read and may belong to it.
    """

    source: Path
    uid: str
    study: str
    slices: tuple[Slice, ...]
    damaged: InputError | None = None

    @cached_property
    def refused(self) -> str | None:
        """Why this is no CT scan at all, or None: whatever most of its pictures are instead."""
        kinds = Counter(map(_refused, self.slices))
        return None if None in kinds else kinds.most_common(1)[0][0]

    @cached_property
    def outcome(self) -> Series | InputError:
        """The series in order, or what is wrong with it."""
        if self.damaged is not None:
            return self.damaged
        pictures = [picture for picture in self.slices if _refused(picture) is None]
        try:
            series = arrange(self.source, pictures)
        except InputError as error:
            return error
        return Series(series.slices, series.shape, series.affine, (*series.findings, *self._findings()))

    @property
    def problem(self) -> InputError | None:
        """What is wrong with the series, None if it can be read."""
        return self.outcome if isinstance(self.outcome, InputError) else None

    @property
    def what(self) -> str:
        """The series in words, without anything that names the patient."""
        files = len({picture.file for picture in self.slices})
        number = f"series {self.slices[0].number}, " if self.slices[0].number else ""
        return f"{number}{self.slices[0].modality}, {files} file{'s' if files > 1 else ''}"

    @cached_property
    def plane(self) -> str:
        """``axial``, ``coronal`` or ``sagittal``; ``axial`` if the header does not say."""
        known = [picture.orientation for picture in self.slices if picture.orientation]
        if not known:
            return "axial"
        directions = np.median(known, axis=0)
        return PLANES[int(np.abs(np.cross(directions[:3], directions[3:])).argmax())]

    @cached_property
    def sharp_kernel(self) -> bool:
        """Whether the reconstruction kernel is one for lung or bone."""
        kernel = self.slices[0].kernel
        siemens = [int(number) for number in _SIEMENS.findall(kernel)]
        return bool(_SHARP_WORDS.search(kernel) or _CANON.search(kernel) or any(n >= 50 for n in siemens))

    @cached_property
    def phase(self) -> tuple[int, str]:
        """Rank and name of the contrast phase, from the series description and the contrast agent."""
        text = self.slices[0].kernel
        for rank, name, words in _PHASES:
            if words.search(text):
                return rank, name
        agents = [value for name, value in self.slices[0].phase if name == "ContrastBolusAgent"]
        return (1, "contrast of no stated phase") if agents else (2, "no stated phase")

    @property
    def original(self) -> bool:
        """Whether ImageType says ORIGINAL and PRIMARY, or nothing."""
        return all(picture.image_type[:2] in ((), ("ORIGINAL", "PRIMARY")) for picture in self._pictures)

    @property
    def step_mm(self) -> float:
        """Distance of the slices; 0 for a series that cannot be read."""
        outcome = self.outcome
        return float(np.linalg.norm(outcome.affine[:3, 2])) if isinstance(outcome, Series) else 0.0

    @property
    def coverage_mm(self) -> float:
        """Length that the slices cover; 0 for a series that cannot be read."""
        outcome = self.outcome
        return outcome.shape[2] * self.step_mm if isinstance(outcome, Series) else 0.0

    @property
    def _pictures(self) -> list[Slice]:
        return [picture for picture in self.slices if _refused(picture) is None]

    def _findings(self) -> list[dict[str, str]]:
        found = []
        others = Counter(kind for picture in self.slices if (kind := _refused(picture)) is not None)
        if others:
            kinds = ", ".join(f"{count} x {kind}" for kind, count in others.items())
            found.append(warning("pictures_left_out", f"Pictures of the series that are no CT slices: {kinds}."))
        if self.plane != "axial":
            found.append(warning("not_axial", f"The series is {self.plane}; the networks learned from axial ones."))
        if self.sharp_kernel:
            found.append(warning("sharp_kernel", "The reconstruction kernel is one for lung or bone, which is noisy."))
        return found


def candidates(files: Iterable[Path]) -> tuple[list[Candidate], dict[Path, InputError]]:
    """Return the series that DICOM files belong to, in order of path, and the files whose headers are damaged.

    A series is told by its SeriesInstanceUID, wherever its files lie (by the folder where there is none). A damaged
    file counts against the series of its folder if that is the only one there.
    """
    grouped: dict[tuple[str, str, str], list[Slice]] = defaultdict(list)
    damaged: dict[Path, InputError] = {}
    for path in files:
        try:
            pictures = read_slices(path)
        except InputError as error:
            damaged[path] = error
            continue
        for picture in pictures:
            folder = str(path.parent)
            multiframe = str(path) if picture.frame is not None else ""
            grouped[picture.study or folder, picture.series or folder, multiframe].append(picture)
    owners: dict[Path, set[tuple[str, str, str]]] = defaultdict(set)
    for key, pictures_of in grouped.items():
        for picture in pictures_of:
            owners[picture.file.parent].add(key)
    blamed = {next(iter(owners[p.parent])): e for p, e in damaged.items() if len(owners.get(p.parent, ())) == 1}
    found = [
        Candidate(_source(slices), slices[0].series, key[0], tuple(slices), blamed.get(key))
        for key, slices in grouped.items()
    ]
    return found, damaged


def choose(series: Sequence[Candidate]) -> tuple[Candidate | None, dict[int, str]]:
    """Return the series to segment, None if none is CT, and for each other one (by index) the reason against it.

    What is no CT reconstruction is out at once: other modalities, localizers, screen shots, colour, material maps. The
    rest is sieved, each rule taking effect only if it leaves at least one: series that can be read; axial before
    coronal and sagittal; kernels other than for lung and bone; ORIGINAL\\PRIMARY before reformats; at least 80 % of the
    longest coverage; the smallest distance of slices, where 1 mm is small enough; the best contrast phase as far as it
    is told (portal venous, not told, arterial or delayed, unenhanced); the most slices; the lowest number.
    """
    reasons = {index: candidate.refused for index, candidate in enumerate(series) if candidate.refused}
    left = [index for index in range(len(series)) if index not in reasons]
    for sieve in (_readable, _axial, _soft_kernel, _original, _long, _thin, _portal, _first):
        verdicts = sieve([series[index] for index in left])
        if not left or None not in verdicts:
            continue
        reasons |= {index: verdict for index, verdict in zip(left, verdicts, strict=True) if verdict is not None}
        left = [index for index, verdict in zip(left, verdicts, strict=True) if verdict is None]
    return (series[left[0]] if left else None), {index: reason for index, reason in reasons.items() if reason}


_Verdicts = list[str | None]


def _readable(series: Sequence[Candidate]) -> _Verdicts:
    return [None if c.problem is None else str(c.problem) for c in series]


def _axial(series: Sequence[Candidate]) -> _Verdicts:
    return [None if c.plane == "axial" else f"{c.plane}; the study has an axial series" for c in series]


def _soft_kernel(series: Sequence[Candidate]) -> _Verdicts:
    reason = "a kernel for lung or bone; the study has a softer one"
    return [reason if c.sharp_kernel else None for c in series]


def _original(series: Sequence[Candidate]) -> _Verdicts:
    return [None if c.original else "a reformat (not ORIGINAL\\PRIMARY); the study has an original" for c in series]


def _long(series: Sequence[Candidate]) -> _Verdicts:
    longest = max((c.coverage_mm for c in series), default=0.0)
    reason = "covers {:.0f} mm; another series of the study covers " + f"{longest:.0f} mm"
    return [None if c.coverage_mm >= COVERAGE_SHARE * longest else reason.format(c.coverage_mm) for c in series]


def _thin(series: Sequence[Candidate]) -> _Verdicts:
    steps_mm = [max(c.step_mm, THIN_ENOUGH_MM) for c in series]
    reason = "slices {:.3g} mm apart; another series of the study has them nearer"
    # headers round: a hundredth of a millimetre decides nothing
    return [None if s <= min(steps_mm) + 0.01 else reason.format(c.step_mm) for c, s in zip(series, steps_mm)]


def _portal(series: Sequence[Candidate]) -> _Verdicts:
    best = min((c.phase for c in series), default=(0, ""))
    return [None if c.phase[0] == best[0] else f"{c.phase[1]}; another series has {best[1]}" for c in series]


def _first(series: Sequence[Candidate]) -> _Verdicts:
    best = min(range(len(series)), key=[_preference(c) for c in series].__getitem__, default=None)
    reason = "as good as another series of the study, which has more slices or comes first"
    return [None if index == best else reason for index in range(len(series))]


def _preference(candidate: Candidate) -> tuple[int, int, str, str]:
    number = candidate.slices[0].number
    return -len(candidate.slices), int(number) if number.isdigit() else 10**9, candidate.uid, str(candidate.source)


def _refused(picture: Slice) -> str | None:
    """Return what a picture is instead of a CT slice, or None."""
    if picture.modality != "CT":
        return _KINDS.get(picture.modality, f"modality {picture.modality}, not CT")
    if picture.sop_class.startswith(SECONDARY_CAPTURE):
        return "a secondary capture (a screen shot), not a reconstruction"
    if "LOCALIZER" in picture.image_type:
        return "a localizer (scout)"
    if picture.samples != 1:
        return "a colour image"
    if picture.rescale_type not in _HOUNSFIELD:
        return f"a map in {picture.rescale_type}, not Hounsfield units"
    return None


def _source(slices: Sequence[Slice]) -> Path:
    if slices[0].frame is not None:
        return slices[0].file
    return Path(os.path.commonpath([picture.file.parent for picture in slices]))
