"""Several processes of one command: what each is told, and what is left when one fails. No torch here."""

import os
import sys
import time
from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError
from biorrn.training import processes as launch

NAMES = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", launch.RENDEZVOUS)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, sys, time, signal; rank = int(os.environ['RANK']); {code}"]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)


def test_each_knows_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = "from biorrn.training import processes; said = repr((processes.launched(), processes.places())); "
    code += f"open(f'{tmp_path}/{{rank}}', 'w').write(said)"
    launch.launch(3, python(code))
    for rank in range(3):
        where = {"rank": rank, "size": 3, "local_rank": rank, "local_size": 3}
        assert (tmp_path / str(rank)).read_text() == repr((True, where))
    assert not launch.launched()
    assert launch.places() == {}


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others(rank: int, tmp_path: Path) -> None:
    """The others would wait for ever; that they are gone shows in a file which the last line would write."""
    code = f"os.kill(os.getpid(), 9) if rank == {rank} else time.sleep(600); open('{tmp_path}/left', 'w')"
    with pytest.raises(BiorrnError, match=f"process {rank + 1} of 2 was ended by SIGKILL"):
        launch.launch(2, python(code))
    assert not (tmp_path / "left").exists()


@pytest.mark.parametrize("rank", [0, 1])
def test_a_fault_is_told_once_with_its_code(
    rank: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first speaks for itself; another is heard where it alone has failed."""
    monkeypatch.setattr(launch, "GRACE", 0.3)
    code = f"rank == {rank} or time.sleep(600); print('fault', rank, file=sys.stderr); sys.exit(2)"
    with pytest.raises(SystemExit) as stopped:
        launch.launch(2, python(code))
    assert stopped.value.code == 2
    assert capfd.readouterr().err == f"fault {rank}\n"


def test_the_first_tells_what_all_have_met(capfd: pytest.CaptureFixture[str]) -> None:
    code = "time.sleep(0.3 * (rank == 0)); print('fault', rank, file=sys.stderr); sys.exit(2)"
    with pytest.raises(SystemExit):
        launch.launch(2, python(code))
    assert capfd.readouterr().err == "fault 0\n"


def test_a_process_ends_with_its_parent(tmp_path: Path) -> None:
    """The launcher is killed, too fast to end anyone; what it has started is gone soon after."""
    wait = "from biorrn.training.processes import end_with_parent; end_with_parent(); print(os.getpid()); "
    inner = python(wait + f"open(f'{tmp_path}/{{rank}}', 'w').write(str(os.getpid())); time.sleep(600)")
    code = f"from biorrn.training.processes import launch; launch(2, {inner!r})"
    outer = os.spawnlp(os.P_NOWAIT, sys.executable, sys.executable, "-c", code)
    deadline = time.monotonic() + 60
    files = [tmp_path / "0", tmp_path / "1"]
    while time.monotonic() < deadline and not all(path.is_file() and path.read_text() for path in files):
        time.sleep(0.02)
    os.kill(outer, 9)
    os.waitpid(outer, 0)
    left = {int(path.read_text()) for path in files}
    while time.monotonic() < deadline and left:
        left = {pid for pid in left if _alive(pid)}
        time.sleep(0.02)
    assert not left


def _alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as stream:
            return stream.read().rpartition(")")[2].split()[0] != "Z"  # ended, and nobody has asked for its code
    except FileNotFoundError:
        return False


@pytest.mark.parametrize(("asked", "started", "message"), [(0, None, "found 0"), (3, 2, "torchrun has started 2")])
def test_numbers_that_cannot_be(asked: int, started: int | None, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if started:
        for name, value in zip(NAMES, ("0", "0", str(started), str(started), "x"), strict=False):
            monkeypatch.setenv(name, value)
    with pytest.raises(BiorrnError, match=message):
        launch.check(asked)


def test_torchrun_needs_no_option(monkeypatch: pytest.MonkeyPatch) -> None:
    assert launch.check(None) == 1
    for name, value in zip(NAMES, ("1", "1", "4", "4", "x"), strict=False):
        monkeypatch.setenv(name, value)
    assert launch.check(None) == launch.check(4) == 4
    assert launch.rank() == 1
    with pytest.raises(BiorrnError, match="found 4; no use"):
        launch.refuse("no use")
