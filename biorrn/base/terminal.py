"""Progress on standard error, safe output on terminals, and the command line as text."""

from __future__ import annotations

import contextlib
import shlex
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from biorrn.base.errors import OBEYED, spelt

EVERY = 20.0  # seconds between lines where standard error is not a terminal
SHORT = 2.0  # seconds; work that took less ends without a line there


def human(value: float) -> str:
    """Return a count with three digits and a unit prefix.

    >>> human(82_345)
    '82.3 k'
    """
    for limit, prefix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.3g} "


def plural(number: int, noun: str) -> str:
    """Return a count with its noun, which is given in the singular.

    >>> plural(1, "protein"), plural(1200, "class")
    ('1 protein', '1,200 classes')
    """
    return f"{number:,} {noun}{('es' if noun.endswith('s') else 's') * (number != 1)}"


@contextlib.contextmanager
def announced(what: str) -> Iterator[None]:
    """Print `what` on standard error where the block takes longer than `SHORT` seconds."""
    timer = threading.Timer(SHORT, lambda: print(what, file=sys.stderr, flush=True))
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def progress(
    what: str,
    unit: str,
    total: int | Callable[[], float | None] | None = None,
    also: Callable[[], dict[str, int]] = dict,
) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; shows the amount done, the rate and, where `total` is known, the time left.

    A terminal shows one line that is updated; elsewhere a line is printed every `EVERY` seconds.

    Parameters
    ----------
    what : str: the work, as a user would name it ("basecalling").
    unit : str: what is counted ("samples").
    total : int, optional: how many there are; or a function that returns the best guess so far, None for none.
    also : function that returns what else is counted, by unit; shown with its rate.
    """
    start, done, last = time.monotonic(), 0, time.monotonic()
    terminal = sys.stderr.isatty()

    def line(end: bool = False) -> str:
        seconds = max(time.monotonic() - start, 1e-9)
        rate = done / seconds
        text = f"{what}: {human(done)}{unit}, {human(rate)}{unit}/s"
        text += "".join(f", {human(n)}{name}, {human(n / seconds)}{name}/s" for name, n in also().items())
        whole = total() if callable(total) else total
        if whole and rate > 0 and not (end and callable(total)):
            guess = "about " if callable(total) else ""
            text += f", {guess}{min(100 * done / whole, 100):.0f} %, {guess}{max(whole - done, 0) / rate:.0f} s left"
        return text

    def advance(n: int = 1) -> None:
        nonlocal done, last
        done += n
        now = time.monotonic()
        if now - last >= (0.2 if terminal else EVERY):
            last = now
            print(("\r\x1b[K" if terminal else "") + line(), end="" if terminal else "\n", file=sys.stderr, flush=True)

    try:
        yield advance
    except BaseException:
        if done and terminal:
            print(file=sys.stderr)  # the error starts on a new line
        raise
    if done and (terminal or time.monotonic() - start >= SHORT):
        print(("\r\x1b[K" if terminal else "") + line(end=True), file=sys.stderr, flush=True)


REDRAW = "\r\x1b[K"  # how a line of progress replaces the last one
RESET = "\x1b[0m"  # the terminal's own colours; the help begins with it


class Screen:
    """A stream of a terminal with control characters spelt out, except ends of lines and tabs.

    Ids and notes of files may hold sequences that move the cursor or hide a line.

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
    """Wrap standard streams that are terminals in a `Screen`; files and pipes are unchanged.

    In all of them, characters that the encoding lacks are spelt out.
    """
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
        if stream is not None and stream.isatty() and not isinstance(stream, Screen):
            setattr(sys, name, Screen(stream))


_words: list[str] = []


def note(words: Sequence[str]) -> None:
    """Keep the arguments after the program's name; called once by `cli.main`, and by an ensemble member."""
    _words[:] = ["biorrn", *words]


def words() -> list[str]:
    """Return the arguments after the program's name; none without a command line."""
    return _words[1:]


def command_line() -> str:
    """Return the command as one line for a shell; "" without a command line, as in a notebook."""
    return shlex.join(_words)
