"""What long work says on standard error, and that short work says nothing where nobody watches."""

import sys

import pytest

from biorrn.base import terminal as module
from biorrn.base.terminal import progress


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
