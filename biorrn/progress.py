"""Progress of long work on standard error: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator

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


@contextlib.contextmanager
def progress(what: str, unit: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Yield `advance(n)`; shows how much is done, the rate and, where `total` is known, the time left.

    Parameters
    ----------
    what : str: the work, as a user would name it ("basecalling").
    unit : str: what is counted ("samples").
    total : int, optional: how many there are.
    """
    start, done, last = time.monotonic(), 0, time.monotonic()
    terminal = sys.stderr.isatty()

    def line() -> str:
        seconds = max(time.monotonic() - start, 1e-9)
        rate = done / seconds
        text = f"{what}: {human(done)}{unit}, {human(rate)}{unit}/s"
        if total and rate > 0:
            text += f", {100 * done / total:.0f} %, {max(total - done, 0) / rate:.0f} s left"
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
            print(file=sys.stderr)  # the error stands on a line of its own
        raise
    if done and (terminal or time.monotonic() - start >= SHORT):
        print(("\r\x1b[K" if terminal else "") + line(), file=sys.stderr, flush=True)
