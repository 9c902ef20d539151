"""Composites: patients of whom only some organs are labelled, completed by the body of another."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from bundle.errors import bad_input
from bundle.files import make_folder
from bundle.rendering.anatomy import Anatomy, list_anatomies, read_anatomy, write_anatomy
from bundle.rendering.body_wall import add_body_wall
from bundle.rendering.bowel_loops import draw_bowel_loops
from bundle.rendering.registration import register, shared_organs
from bundle.rendering.sidecar import read_patients
from bundle.rendering.tissues import Tissue
from bundle.rendering.vessels import draw_vessels

ABOVE_LIVER_MM = 60.0
BELOW_PANCREAS_MM = 120.0
_MARGIN_MM = 66.0
_COARSE = 2


def build_composites(
    source: str | Path,
    output: str | Path,
    spacing_mm: float = 1.5,
    donors: Sequence[str] = (),
    progress: Callable[[int, int, str], None] | None = None,
) -> list[Path]:
    """Write ``<patient>_on_<donor>.nii.gz`` for each incomplete map and donor, and each complete map by itself.

    A map is complete, and a donor, if it labels bones and muscles. Maps already in ``output`` are kept, so that an
    interrupted build goes on where it was.

    Args:
        source: folder of label maps, see :func:`~bundle.rendering.anatomy.read_anatomy`.
        output: folder to write to.
        donors: names (without suffix) of the complete maps to complete others with; all, if empty.
        progress: called with the maps done, the number of maps and the name of the next one.

    Returns:
        The written and the kept maps.

    Raises:
        InputError: no complete map, a donor that is none, two maps of one patient, an ``output`` that cannot be made,
            or a map that cannot be read as an anatomy.
    """
    sources = list_anatomies(source)
    _check_patients(sources)
    output = make_folder(output)
    anatomies = [read_anatomy(path, spacing_mm) for path in sources]
    complete = {anatomy.patient: anatomy for anatomy in anatomies if is_complete(anatomy)}
    chosen = _choose_donors(source, complete, donors)
    jobs: list[tuple[str, Anatomy, Anatomy | None]] = [(name, body, None) for name, body in complete.items()]
    for patient in (anatomy for anatomy in anatomies if anatomy.patient not in complete):
        jobs += [(f"{patient.patient}_on_{donor.patient}", patient, donor) for donor in chosen]
    paths = []
    for done, (name, patient, donor) in enumerate(jobs):
        path = output / f"{name}.nii.gz"
        if progress is not None:
            progress(done, len(jobs), name)
        if not path.exists():
            write_anatomy(complete_body(patient) if donor is None else compose(patient, donor), path)
        paths.append(path)
    return paths


def is_complete(anatomy: Anatomy) -> bool:
    """Whether bones and muscles are labelled, so that a body can be drawn around them."""
    return all(bool((anatomy.tissues == tissue.value).any()) for tissue in (Tissue.BONE, Tissue.MUSCLE))


def complete_body(anatomy: Anatomy) -> Anatomy:
    """A whole-body map cut to the abdomen, with body wall, vessels around the pancreas and more bowel loops."""
    margin = round(_MARGIN_MM / anatomy.spacing_mm)
    tissues = np.pad(anatomy.tissues.numpy(), ((margin, margin), (margin, margin), (0, 0)))
    return _finished(tissues, anatomy.spacing_mm, anatomy.patient, own_portal_vein=True)


def compose(patient: Anatomy, donor: Anatomy) -> Anatomy:
    """The patient's labelled organs in the body of the donor, who is registered onto them.

    The donor's own copies of these organs give way to fat, or to lung and bowel where these are next to them. The
    patient's labels are never altered, except that the portal vein enters the liver.
    """
    if not shared_organs(patient.tissues, donor.tissues):
        rule = "a body is registered by the organs that it shares with the patient"
        raise bad_input(f"{patient.patient} on {donor.patient}", rule, "none", "Choose another donor.")
    spacing_mm = patient.spacing_mm
    canvas = _on_canvas(patient, donor)
    registration = register(canvas, donor.tissues, spacing_mm, donor.spacing_mm)
    body = registration.warp(donor.tissues, donor.spacing_mm, tuple(canvas.shape), spacing_mm)
    tissues = _merge(canvas.numpy(), body.numpy(), spacing_mm)
    return _finished(tissues, spacing_mm, f"{patient.patient}+{donor.patient}", own_portal_vein=False)


def _check_patients(paths: Sequence[Path]) -> None:
    """Refuse two maps of the same patients: what is written is named after these, so one would replace the other."""
    first: dict[str, Path] = {}
    for path in paths:
        patient = "+".join(read_patients(path))
        if patient in first:
            rule, received = "a patient has one map", f"another of {patient}, {first[patient].name}"
            raise bad_input(path, rule, received, "Remove one of them, or name another patient in its .json file.")
        first[patient] = path


def _choose_donors(source: str | Path, complete: dict[str, Anatomy], names: Sequence[str]) -> list[Anatomy]:
    if not complete:
        rule = "at least one map labels bones and muscles"
        raise bad_input(source, rule, "none that does", "Add a whole-body map, such as TotalSegmentator's output.")
    unknown = [name for name in names if name not in complete]
    if unknown:
        rule = f"a donor is one of {', '.join(complete)}"
        raise bad_input(source, rule, ", ".join(unknown), "Give the file's name without suffix.")
    return [complete[name] for name in names] if names else list(complete.values())


def _on_canvas(patient: Anatomy, donor: Anatomy) -> torch.Tensor:
    """The patient's map with room around the organs for the whole abdomen."""
    organs = torch.nonzero(patient.tissues)
    low, high = organs.amin(dim=0), organs.amax(dim=0) + 1
    cut = patient.tissues[tuple(slice(a, b) for a, b in zip(low.tolist(), high.tolist(), strict=True))]
    beside, front, behind, above, below = (round(mm / patient.spacing_mm) for mm in (95, 95, 130, 70, 100))
    # Last axis first, as torch pads: z, y, x.
    return torch.nn.functional.pad(cut, (below, above, behind, front, beside, beside))


def _merge(patient: np.ndarray, body: np.ndarray, spacing_mm: float) -> np.ndarray:
    """The patient's labels over the body's, whose own copies of the same organs are removed."""
    own = [value for value in np.unique(patient) if value != Tissue.OUTSIDE]
    removed = np.isin(body, [value for value in own if value != Tissue.OESOPHAGUS])
    if Tissue.OESOPHAGUS in own:  # labelled near the stomach only: the body's goes on above it
        height = np.flatnonzero((patient == Tissue.OESOPHAGUS).any(axis=(0, 1)))
        removed[:, :, : height[-1] + 1] |= body[:, :, : height[-1] + 1] == Tissue.OESOPHAGUS
    # The donor's portal veins led to the donor's organs; the patient's are drawn anew.
    removed |= body == Tissue.PORTAL_VEINS
    fill = _neighbours(body, removed, spacing_mm)
    # No diaphragm is left inside the lung, where the donor's organ began.
    film = ndimage.binary_dilation(removed, iterations=2) & (body == Tissue.OUTSIDE) & (fill == Tissue.LUNG)
    merged = np.where(removed | film, fill, body)
    bowel = merged == Tissue.BOWEL
    rounded = ndimage.gaussian_filter(bowel.astype(np.float32), 1.0) > 0.5
    merged[bowel & ~rounded] = Tissue.FAT
    return np.where(patient != Tissue.OUTSIDE, patient, merged)


def _neighbours(body: np.ndarray, removed: np.ndarray, spacing_mm: float) -> np.ndarray:
    """What takes the place of removed organs: lung within 18 mm, bowel within 7 mm, else fat."""
    step = (slice(None, None, _COARSE),) * 3
    spreading = np.isin(body[step], (Tissue.LUNG, Tissue.BOWEL)) & ~removed[step]
    fill = np.full(spreading.shape, Tissue.FAT, np.uint8)
    if spreading.any():
        distance, index = ndimage.distance_transform_edt(~spreading, return_indices=True)
        nearest = body[step][tuple(index)]
        reach_mm = np.where(nearest == Tissue.LUNG, 18, 7)
        near = distance * spacing_mm * _COARSE <= reach_mm
        fill[near] = nearest[near]
    enlarged = fill.repeat(_COARSE, 0).repeat(_COARSE, 1).repeat(_COARSE, 2)
    return enlarged[tuple(slice(n) for n in body.shape)]


def _slices_shown(tissues: np.ndarray, gland: np.ndarray) -> np.ndarray:
    """The slices with structures about as far apart as around the gland: beyond, the donor's map ends obliquely."""
    full = np.ones(tissues.shape[2], dtype=bool)
    for axis in (0, 1):
        filled = (tissues != Tissue.OUTSIDE).any(axis=1 - axis)
        width = np.where(filled.any(axis=0), len(filled) - filled[::-1].argmax(axis=0) - filled.argmax(axis=0), 0)
        full &= width > 0.65 * np.median(width[gland[0] : gland[-1] + 1])
    first, last = gland[0], gland[-1]
    while first > 0 and full[first - 1]:
        first -= 1
    while last < len(full) - 1 and full[last + 1]:
        last += 1
    return np.arange(first, last + 1)


def _finished(tissues: np.ndarray, spacing_mm: float, patient: str, own_portal_vein: bool) -> Anatomy:
    """Cut to the abdomen, body wall, vessels and loops drawn, cut to the skin."""
    # One body per name: built again, it is the same.
    generator = torch.Generator().manual_seed(zlib.crc32(patient.encode()))
    liver = np.flatnonzero((tissues == Tissue.LIVER).any(axis=(0, 1)))
    gland = np.flatnonzero((tissues == Tissue.PANCREAS).any(axis=(0, 1)))
    shown = _slices_shown(tissues, gland)
    top = min(shown[-1], (liver if len(liver) else gland)[-1] + round(ABOVE_LIVER_MM / spacing_mm))
    bottom = max(shown[0], gland[0] - round(BELOW_PANCREAS_MM / spacing_mm))
    tissues = add_body_wall(tissues[:, :, bottom : top + 1], spacing_mm, generator)
    draw_vessels(tissues, spacing_mm, generator, own_portal_vein)
    draw_bowel_loops(tissues, spacing_mm, generator)
    x, y, _ = ndimage.find_objects((tissues != Tissue.OUTSIDE).astype(np.uint8))[0]
    margin = round(6 / spacing_mm)
    x, y = (slice(max(0, s.start - margin), s.stop + margin) for s in (x, y))
    return Anatomy(torch.from_numpy(np.ascontiguousarray(tissues[x, y])), spacing_mm, patient)
