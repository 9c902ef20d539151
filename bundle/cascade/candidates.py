"""Candidate regions of several organs: the body, and where any organ is likelier than the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from bundle.cascade.region import Localization, Region
from bundle.preprocess.body import body_mask


class LargestClass:
    """A region rule for the voxels of which some organ is the likeliest class, instead of at least a threshold.

    Roth 2018, sec. 2.2: the labels are the argmax of the probabilities, all foreground is taken together. With two
    classes it is what a threshold of 0.5 gives, but for ties.

    Args:
        rule: such as :class:`~bundle.cascade.MaskRule`; sees a probability of 1 there and of 0 elsewhere.
        threshold: least probability of the likeliest organ, see :func:`largest_class`; the paper has none.
    """

    def __init__(self, rule: Callable[[Localization], list[Region]], threshold: float = 0.0) -> None:
        self.rule = rule
        self.threshold = threshold

    def __call__(self, localization: Localization) -> list[Region]:
        """Return the regions of the rule; the localizer's stage must keep all classes but the background."""
        found = largest_class(localization.probability, self.threshold).float()[None]
        return self.rule(Localization(found, localization.grid, localization.scan_grid))


def largest_class(probability: torch.Tensor, threshold: float = 0.0) -> torch.Tensor:
    """Return where one of the classes is likelier than the background, bool (X, Y, Z).

    ``probability`` (K, X, Y, Z) holds all classes but the background, whose probability is the rest to 1. Where the
    likeliest of them is below ``threshold`` nothing is found: class weights in the loss make a network that has not
    learned much yet call most of a scan an organ.
    """
    likeliest = probability.amax(dim=0)
    return (likeliest > 1 - probability.sum(dim=0)) & (likeliest >= threshold)


class InsideBody:
    """What a stage finds outside the body is nothing; a ``refine`` of :class:`~bundle.cascade.Stage`.

    Roth 2018, sec. 2.2: candidate region C1 of the first stage, on the grid of the stage.

    Args:
        threshold_hu: the least of the body, see :func:`~bundle.preprocess.body.body_mask`.
    """

    def __init__(self, threshold_hu: float = -500.0) -> None:
        self.threshold_hu = threshold_hu

    def __call__(self, probability: torch.Tensor, image_hu: torch.Tensor, spacing_mm: Sequence[float]) -> torch.Tensor:
        """Return ``probability`` (K, X, Y, Z), 0 outside the body in ``image_hu`` (1, X, Y, Z); no body leaves none."""
        return probability * body_mask(image_hu[0], self.threshold_hu).to(probability.device)
