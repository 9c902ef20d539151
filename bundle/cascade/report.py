"""What the cascade tells beside the mask: plain data that travels with the result."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from bundle.cascade.organs import Organ
from bundle.geometry import Box, as_size

OK = "ok"
NOT_FOUND = "not_found"
OUTSIDE_FIELD_OF_VIEW = "outside_field_of_view"
WITHOUT_MASK = (NOT_FOUND, OUTSIDE_FIELD_OF_VIEW)


@dataclass
class CascadeReport:
    """Outcome, boxes and cost of one scan.

    Args:
        outcome: ``ok``, ``not_found``, or ``outside_field_of_view``; the mask is empty in the latter two.
        reason: the outcome in words.
        boxes: regions segmented, in voxels of the scan's grid as the cascade got it (RAS).
        seconds: wall-clock by stage: localize, region, segment, paste.
        peak_memory_mb: largest resident memory of the process so far.
        organs: what the localizer saw beside the pancreas, by name.
        fallback: what was done to find the organ that the localizer missed; empty if it did not.
        opinions: numbers about the mask that tell how good it probably is; empty if none were asked for.
    """

    outcome: str = OK
    reason: str = ""
    boxes: list[Box] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    organs: dict[str, Organ] = field(default_factory=dict)
    fallback: str = ""
    opinions: dict[str, float | None] = field(default_factory=dict)

    @contextmanager
    def timed(self, stage: str, device: torch.device) -> Iterator[None]:
        """Add the seconds of the block, GPU work included, to ``stage``."""
        start = time.perf_counter()
        yield
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - start

    def as_dict(self) -> dict[str, Any]:
        """Return the report as what JSON can hold."""
        return {
            "outcome": self.outcome,
            "reason": self.reason,
            "boxes": [box.as_dict() for box in self.boxes],
            "seconds": {stage: round(seconds, 3) for stage, seconds in self.seconds.items()},
            "peak_memory_mb": round(self.peak_memory_mb, 1),
            "organs": {name: organ.as_dict() for name, organ in self.organs.items()},
            "fallback": self.fallback,
            "opinions": dict(self.opinions),
        }

    def to_json(self) -> str:
        """Return the report as text: of all types only text, numbers and tensors survive MONAI's decollation."""
        return json.dumps(self.as_dict())

    @classmethod
    def from_json(cls, text: str) -> CascadeReport:
        """Return the report that :meth:`to_json` made the text of."""
        values = json.loads(text)
        boxes = [Box(as_size(box["start"]), as_size(box["stop"])) for box in values.pop("boxes")]
        organs = {name: Organ.from_dict(organ) for name, organ in values.pop("organs", {}).items()}
        return cls(boxes=boxes, organs=organs, **values)
