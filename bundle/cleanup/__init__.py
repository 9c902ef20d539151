"""What is done to a mask before it is written: crumbs go, and fat that experts leave out."""

from bundle.cleanup.components import KeepComponentsd, keep_components
from bundle.cleanup.fat import LeaveOutFatd, leave_out_fat

__all__ = ["KeepComponentsd", "LeaveOutFatd", "keep_components", "leave_out_fat"]
