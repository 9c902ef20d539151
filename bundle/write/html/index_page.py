"""index.html: every study of a run on one page, with a link to its own."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import quote

from bundle.files import write_text
from bundle.write import montage, report
from bundle.write.html import report_page, words
from bundle.write.html.pages import render

FILE_NAME = "index.html"


class Row(Protocol):
    """A study as the closing table shows it."""

    @property
    def case(self) -> str: ...

    @property
    def outcome(self) -> str: ...

    @property
    def reason(self) -> str: ...


@dataclass(frozen=True)
class Study:
    """A line of the index, as text.

    Attributes:
        case: name of the study.
        outcome: what became of it.
        reasons: why, and what else one should know, as sentences.
        numbers: volume and what else is known, by name.
        page: address of its page, relative to the index; empty if there is none.
        picture: the same for its picture.
    """

    case: str
    outcome: words.Outcome
    reasons: list[str]
    numbers: dict[str, str]
    page: str = ""
    picture: str = ""


def write_index(output_dir: str | os.PathLike[str], rows: Iterable[Row] = ()) -> None:
    """Write ``<output_dir>/index.html``.

    Args:
        output_dir: parent of the case folders; every folder in it with a report.json is listed, whatever its outcome.
        rows: what else to list: inputs that were refused or left out and have no folder. Rows of cases with a folder
            add nothing.
    """
    folder = Path(output_dir)
    reports = dict(_reports(folder))
    studies = [_study(case, content, folder) for case, content in reports.items()]
    studies += [_without_folder(row) for row in rows if row.case not in reports]
    counts = Counter(study.outcome for study in studies)
    titles = sorted(counts, key=attrgetter("title"))
    summary = [(outcome, counts[outcome]) for outcome in sorted(titles, key=counts.__getitem__, reverse=True)]
    columns = list(dict.fromkeys(name for study in studies for name in study.numbers))
    write_text(render("index.html", studies=studies, summary=summary, columns=columns), folder / FILE_NAME)


def _reports(folder: Path) -> Iterable[tuple[str, dict[str, Any]]]:
    for path in sorted(folder.glob(f"*/{report.FILE_NAME}")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue  # another run is writing it, or it is not ours
        if isinstance(content, dict) and "outcome" in content:
            yield path.parent.name, content


def _study(case: str, content: Mapping[str, Any], folder: Path) -> Study:
    there = {name: (folder / case / name).is_file() for name in (report_page.FILE_NAME, montage.FILE_NAME)}
    address = {name: quote(f"{case}/{name}") if found else "" for name, found in there.items()}
    seconds = [value for value in (content.get("seconds") or {}).values() if isinstance(value, (int, float))]
    numbers = {q.name: f"{q.value} {q.unit}".strip() for q in words.key_numbers(content)}
    return Study(
        case=case,
        outcome=words.outcome_of(content["outcome"]),
        reasons=_reasons(content),
        numbers={**numbers, **({"Time": f"{sum(seconds):.0f} s"} if seconds else {})},
        page=address[report_page.FILE_NAME],
        picture=address[montage.FILE_NAME],
    )


def _reasons(content: Mapping[str, Any]) -> list[str]:
    """Return the reason and the findings that are more than notes, each once."""
    findings = [finding["text"] for finding in words.findings_of(content) if finding["severity"] != "note"]
    return [text for text in dict.fromkeys([words.reason_of(content), *findings]) if text]


def _without_folder(row: Row) -> Study:
    return Study(row.case, words.outcome_of(row.outcome), [words.sentence(row.reason)] if row.reason else [], {})
