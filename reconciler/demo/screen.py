"""How the demo shows itself: rows on a terminal, plain lines in a pipe, and a picture of the same."""

import re
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from reconciler.errors import UsageError

PICTURE_WIDTH = 116
"""Columns of the picture."""

ENDLESS = 10_000
"""Columns of a pipe: who reads it wraps for himself."""

_FONT_FACE = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
"""What makes a reader's browser fetch a font from somebody; without it, its own monospaced one is taken."""

_LABELS = {
    "$": "bold",
    "waits": "dim",
    "recorded": "bold green",
    "told": "cyan",
    "sent": "yellow",
    "killed": "bold red",
    "not told": "magenta",
    "deferred": "magenta",
    "wrong": "bold red",
}


class Screen:
    """Prints to standard output, and into a picture when one is wanted."""

    def __init__(self, picture: Path | None) -> None:
        self._console = Console(highlight=False)
        if not self._console.is_terminal:
            self._console = Console(highlight=False, width=ENDLESS)
        self._picture = picture
        self._recorder = Console(
            file=StringIO(), record=True, highlight=False, force_terminal=True, width=PICTURE_WIDTH
        )

    def title(self, text: str, aside: str = "") -> None:
        """A step begins."""
        line = Text(f"\n{text}", style="bold")
        if aside:
            line.append(f"   {aside}", style="dim not bold")
        self._print(line)

    def line(self, text: str | Text = "", style: str = "") -> None:
        """A line of its own."""
        self._print(text if isinstance(text, Text) else Text(text, style=style))

    def row(self, time: str, label: str, text: str | Text) -> None:
        """What happened, and when; it is wrapped below itself."""
        grid = Table.grid(padding=(0, 2, 0, 0))
        grid.add_column(width=8, no_wrap=True, style="dim")
        grid.add_column(width=8, no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_row(time, Text(label, style=_LABELS.get(label, "")), text)
        self._print(grid)

    def save(self, title: str) -> None:
        """Write the picture; UsageError when it cannot be written."""
        if self._picture is None:
            return
        try:
            picture = self._recorder.export_svg(title=title, unique_id="demo")
            self._picture.write_text(_FONT_FACE.sub("", picture), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"the picture {self._picture} cannot be written: {error.strerror}") from error

    def _print(self, what: Text | Table) -> None:
        self._console.print(what)
        self._recorder.print(what)
