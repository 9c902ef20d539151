"""What is wrong with a configuration, said before anything is loaded or computed, and what a sound one will do."""

from __future__ import annotations

from bundle.preflight.command_line import check_command_line
from bundle.preflight.configuration import Configuration, parse_settings, read_configuration
from bundle.preflight.keys import key_problems
from bundle.preflight.plan import plan_lines
from bundle.preflight.resources import resource_problems
from bundle.preflight.versions import version_findings

__all__ = [
    "Configuration",
    "check_command_line",
    "key_problems",
    "parse_settings",
    "plan_lines",
    "read_configuration",
    "resource_problems",
    "version_findings",
]
