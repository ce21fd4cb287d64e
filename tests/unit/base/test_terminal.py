"""Progress, and what may go to a terminal."""

import io
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from biorrn.base import terminal as module
from biorrn.base.errors import BiorrnError, InputError, shown
from biorrn.base.terminal import REDRAW, Screen, progress

# the window is renamed, the line is coloured, hidden or turned about, the clipboard is set, a page is opened
ILL = [
    "\x1b]0;title\x07",
    "\x1b[31m",
    "\x1b[8m",
    "\x1b[2J\x1b[H",
    "\x1b]52;c;aGk=\x07",
    "\x1b]8;;http://x\x1b\\",
    "\x9b31m",
]
ILL += ["\x08\x08", "\x7f", "\u202e", "\u2066", "\u2028", "\ud800"]


@pytest.mark.parametrize("text", ILL)
def test_what_a_terminal_obeys_is_spelt_out(text: str) -> None:
    for said in (shown(text), str(BiorrnError(text)), str(InputError(text, text, text))):
        assert said.isprintable()
    stream = io.StringIO()
    Screen(stream).write(f"{REDRAW}one\ttwo {text}\n")
    assert stream.getvalue().removeprefix(REDRAW).replace("\t", " ").replace("\n", " ").isprintable()


def test_words_stay_as_they_are() -> None:
    text = "protéine Ω β-lactamase 日本 \\x1b C:\\new"
    assert shown(text) == text


def test_a_message_is_one_line_and_no_book() -> None:
    said = str(InputError("x.fa", "a\nb\r\nc " + "\x00" * 10_000, record="r\ns"))
    assert said.startswith("x.fa: record 'r s': a b c")
    assert len(said) < 1500
    assert said.isprintable()


def test_a_terminal_is_guarded_and_a_pipe_is_not(tmp_path: Path) -> None:
    code = "import sys; from biorrn.base.terminal import guard_terminal as g; g(); g(); print('a\\x1b[2Jb')"
    ours, theirs = pty.openpty()
    try:
        subprocess.run([sys.executable, "-c", code], stdout=theirs, check=True)
        seen = os.read(ours, 1000)
    finally:
        os.close(ours)
        os.close(theirs)
    assert seen == b"a\\x1b[2Jb\r\n"
    piped = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert piped.stdout == b"a\x1b[2Jb\n"


def test_a_closed_pipe_ends_without_a_word_and_with_the_code_of_its_signal(root: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = ["reads", str(root / "data" / "simulated_reads" / "simulated.blow5")]
    try:
        run = subprocess.run([sys.executable, "-m", "biorrn", *words], stdout=writing, stderr=subprocess.PIPE)
    finally:
        os.close(writing)
    assert (run.returncode, run.stderr) == (141, b"")


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_long_work_says_how_much_how_fast_and_how_long_yet(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    with progress("calling", "samples", total=4_000_000) as advance:
        advance(500_000)
        clock[0] += 25
        advance(500_000)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "calling: 1 Msamples, 40 ksamples/s, 25 %, 75 s left"
    assert lines[1] == lines[0]  # the closing line


def test_short_work_is_silent_off_a_terminal(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    with progress("calling", "samples") as advance:
        advance(500)
        clock[0] += 0.5
    assert capsys.readouterr().err == ""


def test_a_terminal_has_one_line_that_changes(
    clock: list[float], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with progress("calling", "samples") as advance:
        for _ in range(3):
            clock[0] += 1
            advance(1000)
    shown = capsys.readouterr().err
    assert shown.count("\n") == 1
    assert shown.endswith("calling: 3 ksamples, 1 ksamples/s\n")


def test_an_error_gets_a_line_of_its_own_and_no_closing_line(
    clock: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    def work() -> None:
        with progress("calling", "samples") as advance:
            advance(1)
            clock[0] += 10
            raise ValueError("odd")

    with pytest.raises(ValueError, match="odd"):
        work()
    assert capsys.readouterr().err == ""
