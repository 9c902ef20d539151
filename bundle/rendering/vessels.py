"""The vessels that touch the pancreas, drawn where a label map lacks them.

No public label map has the superior mesenteric vessels or the coeliac trunk, and networks take just these for the
gland. Their courses follow the patient's own pancreas, as in any atlas: the splenic vein along the back of body and
tail, the confluence behind the neck, the superior mesenteric vein below it with its artery to the left, the coeliac
trunk above, the splenic artery along the upper border. All are ways of least cost through the free space: organs are
never entered.
"""

from __future__ import annotations

import numpy as np
import torch
from scipy import ndimage

from bundle.rendering.draws import uniform
from bundle.rendering.fields import smooth_field
from bundle.rendering.tissues import Tissue
from bundle.rendering.tubes import paint_tube, route

_FREE = (Tissue.FAT, Tissue.BOWEL, Tissue.OTHER_SOFT, Tissue.OTHER_VEINS, Tissue.PORTAL_VEINS)
_PAINTED_OVER = (Tissue.FAT, Tissue.BOWEL, Tissue.OTHER_SOFT, Tissue.OTHER_VEINS, Tissue.OUTSIDE)
_CLOSED = 400.0
_GRID_MM = 3.0


def draw_vessels(tissues: np.ndarray, spacing_mm: float, generator: torch.Generator, own_portal_vein: bool) -> None:
    """Add portal, splenic and superior mesenteric vein and the arteries of the region to ``tissues``, in place.

    A map without pancreas, aorta or liver is left as it is, for they say where the vessels go.

    Args:
        tissues: uint8 (X, Y, Z) tissue codes, RAS.
        generator: of radii and of where the vessels leave.
        own_portal_vein: the map's portal and splenic vein are this patient's: keep them, and draw the rest.
    """
    if all((tissues == tissue).any() for tissue in (Tissue.PANCREAS, Tissue.AORTA, Tissue.LIVER)):
        _Region(tissues, spacing_mm, generator).draw(own_portal_vein)


class _Region:
    """The surroundings of the gland on a coarse grid (positions are in its voxels), and the tubes drawn there."""

    def __init__(self, tissues: np.ndarray, spacing_mm: float, generator: torch.Generator) -> None:
        self.generator = generator
        self.stride = max(1, round(_GRID_MM / spacing_mm))
        self.grid_mm = self.stride * spacing_mm
        gland = np.argwhere(tissues == Tissue.PANCREAS)
        margin = (np.array([[60, 60, 80], [60, 60, 60]]) / spacing_mm).astype(int)
        low = np.maximum(gland.min(axis=0) - margin[0], 0)
        high = np.minimum(gland.max(axis=0) + margin[1] + 1, tissues.shape)
        self.fine = tissues[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        self.coarse = self.fine[:: self.stride, :: self.stride, :: self.stride]
        self.gland = self._coarse_mask(Tissue.PANCREAS)
        outside = ~self.gland
        to_gland, nearest = ndimage.distance_transform_edt(outside, return_indices=True)
        self.gland_mm = to_gland * self.grid_mm
        position = np.indices(self.gland.shape)
        self.behind = (nearest[1] > position[1]) | self.gland
        self.above = (nearest[2] < position[2]) | self.gland
        winding = smooth_field(self.gland.shape, 20 / self.grid_mm, generator, torch.device("cpu"))
        self.detour = np.exp(0.7 * winding.numpy())
        duodenum = self.coarse == Tissue.DUODENUM
        self.behind_duodenum = np.flip(np.logical_or.accumulate(np.flip(duodenum, axis=1), axis=1), axis=1)
        self.aorta_line = _centre_line(self.coarse == Tissue.AORTA)

    def draw(self, own_portal_vein: bool) -> None:
        confluence = self._confluence(own_portal_vein)
        hilum = self._liver_hilum(confluence)
        tail_end = self._nearest_of(Tissue.SPLEEN, self._tail())
        if not own_portal_vein:
            radius_mm = self._between(5.5, 7.5)
            splenic = self._way([confluence, tail_end], 3.5, along="behind")
            self._paint(splenic, np.linspace(self._between(4, 5.5), 3, len(splenic)), Tissue.PORTAL_VEINS)
            self._paint(self._way([confluence, hilum], radius_mm), radius_mm, Tissue.PORTAL_VEINS, into_liver=True)
        smv_mm = self._between(4.8, 6.5)
        mesentery = self._mesentery(confluence)
        beside = self._aside(confluence, mesentery)
        smv = self._way([confluence, mesentery], smv_mm, avoid=self._prevertebral(), extra=beside)
        self._paint(smv, np.linspace(smv_mm, 0.7 * smv_mm, len(smv)), Tissue.PORTAL_VEINS)
        self._draw_superior_mesenteric_artery(confluence, smv)
        self._draw_coeliac_trunk(confluence, hilum, tail_end)

    def _draw_superior_mesenteric_artery(self, confluence: np.ndarray, smv: np.ndarray) -> None:
        radius_mm = self._between(3.0, 4.2)
        end = smv[-1] - self._mm(self._between(14, 20), 3, 0)
        origin = self._aorta_at(confluence[2] + self._between(-4, 8) / self.grid_mm)
        knee = self._aorta_at(confluence[2] - 18 / self.grid_mm) + self._mm(0, self._between(16, 22), 0)
        clear_of_vein = (self._distance_mm(Tissue.PORTAL_VEINS) < radius_mm + 3) | self.behind_duodenum
        way = self._way([origin, knee, end], radius_mm, avoid=clear_of_vein, extra=self._aside(knee, end))
        self._paint(way, np.linspace(radius_mm, 0.7 * radius_mm, len(way)), Tissue.ARTERIES)

    def _draw_coeliac_trunk(self, confluence: np.ndarray, hilum: np.ndarray, tail_end: np.ndarray) -> None:
        origin = self._aorta_at(confluence[2] + self._between(12, 22) / self.grid_mm)
        fork = origin + self._mm(self._between(-3, 5), self._between(18, 24), self._between(0, 6))
        self._paint(self._way([origin, fork], 3.5), self._between(3.2, 4.2), Tissue.ARTERIES)
        splenic_mm, hepatic_mm = self._between(2.4, 3.4), self._between(2.0, 2.8)
        near_vein = self._distance_mm(Tissue.PORTAL_VEINS) < 2 + splenic_mm
        splenic = self._way([fork, tail_end + self._mm(0, 0, 8)], splenic_mm, along="above", avoid=near_vein)
        self._paint(splenic, splenic_mm, Tissue.ARTERIES)
        hepatic = self._way([fork, hilum + self._mm(-6, 8, -2)], hepatic_mm, avoid=near_vein)
        self._paint(hepatic, hepatic_mm, Tissue.ARTERIES)
        # The gastroduodenal artery runs down in front of the head, where the hepatic artery turns upwards.
        head_front = self._head() + self._mm(0, 14, -8)
        gastroduodenal = self._way([hepatic[len(hepatic) // 2], head_front], 2.0, avoid=near_vein)
        self._paint(gastroduodenal, np.linspace(hepatic_mm, 1.5, len(gastroduodenal)), Tissue.ARTERIES)

    def _confluence(self, own_portal_vein: bool) -> np.ndarray:
        """Behind the neck, a little right of the aorta; in the nearest piece of the patient's own vein, if any."""
        gland = np.argwhere(self.gland)
        aorta_x = self._aorta_at(np.median(gland[:, 2]))[0]
        neck_x = np.clip(aorta_x + self._between(6, 14) / self.grid_mm, *np.percentile(gland[:, 0], (25, 80)))
        neck = gland[np.abs(gland[:, 0] - neck_x) <= 5 / self.grid_mm]
        neck = neck if len(neck) else gland
        upper = neck[neck[:, 2] >= np.median(neck[:, 2])]
        behind_y = np.percentile(upper[:, 1], 10) - 6 / self.grid_mm
        point = np.array([neck_x, behind_y, np.median(upper[:, 2])])
        vein = np.argwhere(self.coarse == Tissue.PORTAL_VEINS)
        if own_portal_vein and len(vein):
            return vein[np.linalg.norm((vein - point) * [1, 1, 1.5] + [0, 0, 6 / self.grid_mm], axis=1).argmin()]
        return point

    def _liver_hilum(self, confluence: np.ndarray) -> np.ndarray:
        return self._nearest_of(Tissue.LIVER, confluence + self._mm(30, 0, 42))

    def _mesentery(self, confluence: np.ndarray) -> np.ndarray:
        """Where the superior mesenteric vein leaves the region: in front of the aorta, below the gland."""
        low = np.argwhere(self.gland)[:, 2].min() - 55 / self.grid_mm
        end = self._aorta_at(low) + self._mm(self._between(10, 18), self._between(24, 36), 0)
        return np.array([end[0], max(end[1], confluence[1]), max(low, 1)])

    def _tail(self) -> np.ndarray:
        gland = np.argwhere(self.gland)
        return gland[np.argsort(gland[:, 0])[: max(1, len(gland) // 50)]].mean(axis=0)

    def _head(self) -> np.ndarray:
        gland = np.argwhere(self.gland)
        return gland[gland[:, 0] >= np.percentile(gland[:, 0], 85)].mean(axis=0)

    def _prevertebral(self) -> np.ndarray:
        """Where the mesenteric vein never runs: behind the duodenum, or level with the aorta."""
        front = self.aorta_line[:, 1] + 8 / self.grid_mm
        return self.behind_duodenum | (np.arange(self.coarse.shape[1])[:, None] < front[None])[None]

    def _nearest_of(self, tissue: Tissue, point: np.ndarray) -> np.ndarray:
        voxels = np.argwhere(self.coarse == tissue)
        return voxels[np.linalg.norm(voxels - point, axis=1).argmin()] if len(voxels) else np.asarray(point)

    def _aorta_at(self, z: float) -> np.ndarray:
        return self.aorta_line[int(np.clip(round(z), 0, len(self.aorta_line) - 1))]

    def _aside(self, start: np.ndarray, end: np.ndarray) -> np.ndarray:
        """Cost of being further than 6 mm to the right or left of the straight way down."""
        share = np.clip((np.arange(self.coarse.shape[2]) - end[2]) / (start[2] - end[2] + 1e-6), 0, 1)
        line_x = end[0] + share * (start[0] - end[0])
        aside_mm = np.abs(np.arange(self.coarse.shape[0])[:, None] - line_x[None]) * self.grid_mm
        return 0.5 * np.clip(aside_mm - 6, 0, 20)[:, None]

    def _way(
        self,
        waypoints: list[np.ndarray],
        radius_mm: float,
        along: str = "",
        avoid: np.ndarray | None = None,
        extra: np.ndarray | float = 0.0,
    ) -> np.ndarray:
        cost = self.detour + extra
        cost += 6.0 * (self.gland_mm < 0.8 * radius_mm) + 2.0 * (self.coarse == Tissue.BOWEL)
        if along:
            side = self.behind if along == "behind" else self.above
            cost += np.clip(np.abs(self.gland_mm - radius_mm - 0.5) / 2, 0, 5) + 3.0 * ~side
        if avoid is not None:
            cost += 8.0 * avoid
        cost[~np.isin(self.coarse, list(_FREE)) | self.gland] = _CLOSED
        return route(cost, waypoints)

    def _paint(self, way: np.ndarray, radius_mm: float | np.ndarray, tissue: Tissue, into_liver: bool = False) -> None:
        over = [*_PAINTED_OVER, Tissue.LIVER] if into_liver else _PAINTED_OVER
        fine_mm = self.grid_mm / self.stride
        paint_tube(self.fine, way * self.stride, np.asarray(radius_mm) / fine_mm, tissue, over)

    def _coarse_mask(self, tissue: Tissue) -> np.ndarray:
        """Coarse voxels that hold any of the tissue."""
        return ndimage.maximum_filter(self.fine == tissue, self.stride)[:: self.stride, :: self.stride, :: self.stride]

    def _distance_mm(self, tissue: Tissue) -> np.ndarray:
        mask = self._coarse_mask(tissue)
        return ndimage.distance_transform_edt(~mask) * self.grid_mm if mask.any() else np.full(mask.shape, np.inf)

    def _between(self, low: float, high: float) -> float:
        return uniform(self.generator, low, high)

    def _mm(self, *offset_mm: float) -> np.ndarray:
        return np.array(offset_mm) / self.grid_mm


def _centre_line(mask: np.ndarray) -> np.ndarray:
    """(Z, 3) centroid of the mask in each slice, straight on where it is missing."""
    filled = [z for z in range(mask.shape[2]) if mask[:, :, z].any()]
    centroids = np.array([np.argwhere(mask[:, :, z]).mean(axis=0) for z in filled])
    z = np.arange(mask.shape[2])
    if not filled:
        return np.stack([np.full(len(z), mask.shape[0] / 2), np.full(len(z), mask.shape[1] / 4), z], axis=1)
    return np.stack([np.interp(z, filled, centroids[:, axis]) for axis in range(2)] + [z], axis=1)
