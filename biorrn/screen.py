"""Text on a terminal: what comes from files is shown there, never obeyed."""

from __future__ import annotations

import sys
from typing import Any

from biorrn.errors import OBEYED, spelt

REDRAW = "\r\x1b[K"  # how a line of progress replaces the last one
RESET = "\x1b[0m"  # back to the terminal's own colours: what the help begins with


class Screen:
    """A stream of a terminal on which control characters are spelt out, but for ends of lines and tabs.

    An id or a note in a file may hold what moves the cursor, renames the window or hides a line.

    >>> import io
    >>> stream = io.StringIO()
    >>> Screen(stream).write("a" + chr(27) + "[2J")
    5
    >>> stream.getvalue()
    'a\\\\x1b[2J'
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write text and return its length as given."""
        start = next((known for known in (REDRAW, RESET) if text.startswith(known)), "")
        rest = text[len(start) :]
        self._stream.write(start + OBEYED.sub(lambda found: found[0] if found[0] in "\n\t" else spelt(found[0]), rest))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write lines, one after another."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def guard_terminal() -> None:
    """Put a `Screen` before the standard streams that are terminals; files and pipes get every byte as it is.

    What a stream's encoding lacks, such as a byte of a file's name that is no UTF-8, is spelt out in all of them.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if stream is not None and stream.isatty() and not isinstance(stream, Screen):
            setattr(sys, name, Screen(stream))
