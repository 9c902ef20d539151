"""Whether a scan and its mask can be trusted, in words: findings, outcome, measurements."""

from __future__ import annotations

from bundle.assess.assessment import ASSESSMENT_KEY, Assessd, assess

__all__ = ["ASSESSMENT_KEY", "Assessd", "assess"]
