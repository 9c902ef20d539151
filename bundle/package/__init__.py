"""The bundle as one file that MONAI can download, and whether it is what the model zoo asks for."""

from __future__ import annotations

from bundle.package.build import build_package
from bundle.package.checksums import check_folder, check_package
from bundle.package.metadata import metadata_problems

__all__ = ["build_package", "check_folder", "check_package", "metadata_problems"]
