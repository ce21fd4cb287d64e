"""Processes of members: their lines, their ends, and what one that fails does to the others."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from biorrn.base.errors import BiorrnError
from biorrn.proteins import task as regression
from biorrn.training import ensemble as members
from biorrn.training import train as member

# stands for `training.train`, without its seconds of imports: a job's "do" is what it does
CHILD = """
import json, sys, time
job = json.loads(sys.stdin.readline())
print("began", file=sys.stderr, flush=True)
exec(job["do"])
"""


@pytest.fixture(autouse=True)
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(members, "COMMAND", (sys.executable, "-S", "-c", CHILD))


def job(name: str, do: str = "pass") -> dict[str, str]:
    return {"folder": f"runs/members/{name}", "do": do}


def test_each_line_names_its_member(capsys: pytest.CaptureFixture[str]) -> None:
    members.run_members([job("a", "print('half\\nwhole', file=sys.stderr)"), job("b")], 2)
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if line.startswith("[a]")] == ["[a] began", "[a] half", "[a] whole"]
    assert "[b] began" in lines
    assert [line for line in lines if not line.startswith("[")] == [
        "1 of 2 members are trained",
        "2 of 2 members are trained",
    ]


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_that_fails_stops_the_others(jobs: int, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    work = [
        job("a", "print('error: no data', file=sys.stderr); sys.exit(2)"),
        job("b", "time.sleep(60)"),
        job("c", f"open({str(mark)!r}, 'w').close()"),
    ]
    with pytest.raises(BiorrnError, match=r"^member a: no data$"):
        members.run_members(work, jobs)
    assert jobs > 1 or not mark.exists()


@pytest.mark.parametrize(
    ("do", "message"),
    [
        ("raise ValueError('odd')", "member a: ValueError: odd"),
        ("import os; os.kill(os.getpid(), 9)", "member a: began"),
    ],
)
def test_a_crash_is_told(do: str, message: str) -> None:
    with pytest.raises(BiorrnError, match=message):
        members.run_members([job("a", do)], 1)


def test_standard_input_stays_open_while_the_parent_lives(tmp_path: Path) -> None:
    waits = "import select; sys.exit(3 if select.select([0], [], [], 0.3)[0] else 0)"
    members.run_members([job("a", waits)], 1)


def test_no_job_no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(member.os, "read", lambda *_: b"")
    with pytest.raises(SystemExit):
        member.main()


def test_a_fault_of_the_user_is_one_line(
    tiny_proteins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = {"name": "x", "task": "regression", "model": {"frontend": {"name": "onehot"}, "head": {"name": "ctc"}}}
    told = {
        "recipe": yaml.safe_dump(recipe),
        "data": str(tiny_proteins),
        "folder": str(tmp_path / "run"),
        "task": regression.__name__,
        "options": {"seed": 0, "threads": 1},
        "words": ["train"],
    }
    parts = iter([(json.dumps(told) + "\n")[:50].encode(), (json.dumps(told) + "\n")[50:].encode()])
    # of this module alone: other code reads from pipes too
    monkeypatch.setattr(member, "os", SimpleNamespace(read=lambda *_: next(parts)))
    monkeypatch.setattr(member, "_end_with_parent", lambda: None)
    monkeypatch.setattr("biorrn.base.terminal._words", [])
    with pytest.raises(SystemExit, match="2"):
        member.main()
    assert "error: recipe 'x': task regression needs head 'regression'" in capsys.readouterr().err.splitlines()[-1]
