"""From a template to a page that needs no other file and no network."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from bundle.write.html.embedding import script_hash


def render(template: str, scripts: tuple[str, ...] = (), **content: Any) -> str:
    """Return the page. Everything in ``content`` is escaped: names of files and cases may hold anything.

    Its content security policy lets the browser run the given scripts and nothing else, and load nothing but what the
    page holds itself (``data:`` and ``blob:`` addresses).

    Args:
        template: name of a file in ``templates``.
        scripts: what the page may run, character for character as in its ``<script>`` elements.
        **content: the template's variables.
    """
    allowed = " ".join([script_hash(script) for script in scripts] + ["blob:"]) if scripts else "'none'"
    policy = (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src data: blob:; worker-src blob:; base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template(template).render(policy=policy, style=resource("style.css"), **content)


def resource(name: str) -> str:
    """Return the text of a file in ``templates``."""
    return (files(__package__) / "templates" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("bundle.write.html", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
