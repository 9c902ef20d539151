"""What the command shows while it works: a bar for the study under way, stage by stage, and one for all studies."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from bundle.segmentation.segmenter import STAGES
from bundle.segmentation.table import Row, number


class Bars:
    """The two bars, and above them a line for each study that is done, on stderr.

    Args:
        console: to show them on.
        total: number of studies.
    """

    def __init__(self, console: Console, total: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self.progress = Progress(*columns, TimeRemainingColumn(), console=console)
        self.study = self.progress.add_task("", total=len(STAGES), start=False)
        self.all = self.progress.add_task("all studies", total=total)
        self.case = ""

    def __enter__(self) -> Bars:
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):
        self.progress.update(self.study, visible=False)
        self.progress.stop()

    def begin(self, case: str) -> None:
        """Show that a study is begun."""
        self.case = case
        self.progress.reset(self.study, total=len(STAGES), description=escape(case))

    def stage(self, name: str) -> None:
        """Show that a stage of the study is begun; one may come again, after a later one."""
        done = STAGES.index(name)
        if done >= self.progress.tasks[self.study].completed:
            self.progress.update(self.study, completed=done, description=f"{escape(self.case)}: {name}")

    def end(self, row: Row) -> None:
        """Show that the study is done, and what became of it."""
        volume = "" if row.volume_ml is None else f"  {number(row.volume_ml)} ml"
        seconds = "" if row.seconds is None else f"  {number(row.seconds)} s"
        self.progress.console.print(f"{escape(row.case)}  {row.styled_outcome}{volume}{seconds}", highlight=False)
        self.progress.update(self.study, completed=len(STAGES))
        self.progress.advance(self.all)
