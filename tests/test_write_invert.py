from __future__ import annotations

import numpy as np
import torch
from monai.data import MetaTensor
from monai.transforms import Orientationd

from bundle.write import InvertWithReportd

# x runs to the left, so that RAS order flips it.
AFFINE = torch.diag(torch.tensor([-1.0, 2.0, 3.0, 1.0]))
TO_RAS = Orientationd("image", axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S")))


def inverted(report: str | None) -> MetaTensor:
    image = MetaTensor(torch.arange(24.0).reshape(1, 2, 3, 4), affine=AFFINE)
    data = TO_RAS({"image": image})
    meta = dict(data["image"].meta) | ({} if report is None else {"cascade": report})
    data["pred"] = MetaTensor(data["image"].as_tensor() + 1, meta=meta)
    return InvertWithReportd("pred", transform=TO_RAS, orig_keys="image", nearest_interp=False)(data)["pred"]


def test_the_result_lies_on_the_grid_of_the_scan():
    np.testing.assert_array_equal(inverted(None).numpy(), np.arange(24).reshape(1, 2, 3, 4) + 1)
    np.testing.assert_array_equal(inverted(None).affine, AFFINE)


def test_what_the_cascade_said_stays():
    assert inverted('{"outcome": "ok"}').meta["cascade"] == '{"outcome": "ok"}'
    assert "cascade" not in inverted(None).meta
