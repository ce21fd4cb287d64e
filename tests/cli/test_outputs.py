"""Checks of the outputs of every command, and resume of an interrupted `biorrn predict`."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.base.journal import open_kept
from biorrn.cli.main import COMMANDS, FORMER, Subcommands
from biorrn.cli.outputs import OUTPUTS, check_outputs


@pytest.fixture
def given(tmp_path: Path) -> Path:
    (tmp_path / "x.fa").write_text(">a\nMKV\n")
    (tmp_path / "soft.fa").symlink_to("x.fa")
    (tmp_path / "hard.fa").hardlink_to(tmp_path / "x.fa")
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["x.fa", "soft.fa", "hard.fa", "folder/../x.fa"])
@pytest.mark.parametrize("source", ["x.fa", "soft.fa"])
@pytest.mark.parametrize("wrap", [str, Path, lambda path: [path], lambda path: ("stability", path)])
def test_an_output_is_no_input(given: Path, name: str, source: str, wrap: Callable[..., object]) -> None:
    with pytest.raises(ConfigError, match=r"^--output .*: is the input .*; allowed is another file$"):
        check_outputs({"output": str(given / name), "proteins": wrap(str(given / source)), "level": 0.9, "id": None})


def test_two_outputs_are_two_files(given: Path) -> None:
    with pytest.raises(ConfigError, match=r"--output .*: is also --summary"):
        check_outputs({"output": str(given / "o.tsv"), "summary": given / "folder" / ".." / "o.tsv"})
    check_outputs({"output": "-", "summary": "-"})
    check_outputs({"output": "/dev/null", "summary": "/dev/null", "proteins": "/dev/null"})


def test_folders_are_made_one_deep_and_not_below_the_root(given: Path) -> None:
    check_outputs({"output": given / "new" / "o.tsv"})
    check_outputs({"output": "new/o.tsv"})
    for path in (given / "new" / "deep" / "o.tsv", Path("/no_such_folder/o.tsv"), "new/deep/o.tsv"):
        with pytest.raises(ConfigError, match=r"there is no folder .*; make it first"):
            check_outputs({"output": path})
    assert not (given / "new").exists()


def test_a_link_into_a_folder_that_is_not_there_makes_none(given: Path) -> None:
    (given / "far.tsv").symlink_to("/no_such_folder/o.tsv")
    (given / "near.tsv").symlink_to("folder/o.tsv")
    with pytest.raises(ConfigError, match=r"--output .*far\.tsv: there is no folder /no_such_folder; make it first"):
        check_outputs({"output": given / "far.tsv"})
    check_outputs({"output": given / "near.tsv"})


def commands() -> Iterator[tuple[str, object]]:
    for name in [*COMMANDS, *FORMER]:
        command = Subcommands()[name]
        inner = getattr(command, "commands", {"": command})
        yield from ((f"{name} {key}".strip(), one) for key, one in inner.items())


@pytest.mark.parametrize(("name", "command"), commands(), ids=lambda one: one if isinstance(one, str) else "")
def test_every_command_is_checked(name: str, command: object) -> None:
    for parameter in command.params:  # type: ignore[attr-defined]
        if {"-o", "--output"} & set(parameter.opts):
            assert parameter.name in OUTPUTS
            assert hasattr(command.callback, "__wrapped__")  # type: ignore[attr-defined]


def test_an_input_stays_as_it_is(biorrn: Callable[..., tuple[int, str, str]], given: Path) -> None:
    before = (given / "x.fa").read_bytes()
    for command in ("predict", "scan", "explain"):
        code, _, err = biorrn(command, "stability", given / "soft.fa", "-o", given / "x.fa")
        assert (code, err.count("\n")) == (2, 1)
        assert "is the input" in err
    assert (given / "x.fa").read_bytes() == before


def test_the_truth_and_the_reference_of_simulated_reads_are_outputs(
    biorrn: Callable[..., tuple[int, str, str]], given: Path
) -> None:
    before = (given / "x.fa").read_bytes()
    for option in ("--truth", "--reference"):
        code, _, err = biorrn("simulate", given / "x.fa", "-o", given / "s.blow5", option, given / "x.fa")
        assert (code, f"{option} {given / 'x.fa'}: is the input" in err) == (2, True)
    assert (given / "x.fa").read_bytes() == before
    code, _, err = biorrn("simulate", given / "x.fa", "-o", given / "s.blow5", "--truth", given / "s.blow5")
    assert (code, "is also --" in err) == (2, True)


# -- what is kept of a run -------------------------------------------------------------------------------------------


def ended(output: Path, source: Path, must: dict, items: list, error: BaseException) -> None:
    """Keep items, and end with an error."""
    with open_kept(output, source, must) as kept:
        for item in items:
            kept.add(item)
        raise error


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biorrn.base.journal.WAIT", 0.0)


@pytest.mark.usefixtures("at_once")
def test_what_is_done_is_kept_until_the_end(given: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output, source = given / "o.tsv", given / "x.fa"
    with pytest.raises(KeyboardInterrupt):
        ended(output, source, {"--level": 0.9}, [[1.5, "a\nb"], [float("inf"), "ä"]], KeyboardInterrupt())
    assert "add --resume to continue" in capsys.readouterr().err
    with pytest.raises(BiorrnError, match=r"o\.tsv\.partial: is the partial output of an interrupted run"):
        open_kept(output, source, {"--level": 0.9}).__enter__()
    with pytest.raises(BiorrnError, match=r"--level was 0\.9 and is now 0\.5"):
        open_kept(output, source, {"--level": 0.5}, resume=True).__enter__()
    with open_kept(output, source, {"--level": 0.9}, resume=True) as kept:
        assert kept.count == 2
        assert list(kept.items()) == [[1.5, "a\nb"], [float("inf"), "ä"]]
        kept.add([2, ""])
    assert sorted(path.name for path in given.iterdir()) == ["folder", "hard.fa", "soft.fa", "x.fa"]


@pytest.mark.usefixtures("at_once")
def test_another_input_is_not_resumed_and_a_fault_of_the_input_keeps_nothing(given: Path) -> None:
    output, source = given / "o.tsv", given / "x.fa"
    with pytest.raises(InputError):
        ended(output, source, {}, [[1]], InputError(source, "is at fault"))
    assert not (given / "o.tsv.partial").exists()
    with pytest.raises(KeyboardInterrupt):
        ended(output, source, {}, [[1]], KeyboardInterrupt())
    source.write_text(">a\nMKVL\n")
    with pytest.raises(BiorrnError, match="cannot be resumed: input "):
        open_kept(output, source, {}, resume=True).__enter__()


def test_a_short_run_and_standard_streams_leave_nothing(given: Path) -> None:
    for output, source in (("-", given / "x.fa"), (given / "o.tsv", "-"), (given / "o.tsv", given / "x.fa")):
        with open_kept(output, source, {}) as kept:
            kept.add([1])
            assert not (given / "o.tsv.partial").exists()
    with pytest.raises(ConfigError, match="--resume: a standard stream"):
        open_kept("-", given / "x.fa", {}, resume=True).__enter__()


@pytest.mark.usefixtures("at_once")
def test_a_prediction_that_is_resumed_is_the_same_file(
    biorrn: Callable[..., tuple[int, str, str]],
    kernel_model: Path,
    root: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from biorrn.base import journal as resume
    from biorrn.nn import windows
    from biorrn.nn.windows import PASS_ROWS

    proteins = tmp_path / "p.fa"
    proteins.write_text((root / "data" / "proteins.fasta").read_text() + ">stop\nMK*V\n>last\nMKVLAETR\n")
    words = ("predict", kernel_model, proteins, "--threads", 1, "--batch-size", 1, "-o")
    monkeypatch.setattr(windows, "EVEN_BATCHES", 1)
    assert biorrn(*words, tmp_path / "whole.tsv")[0] == 0
    assert len((tmp_path / "whole.tsv").read_text().splitlines()) > 1 + PASS_ROWS
    add = resume.Kept.add

    def add_and_end(self: resume.Kept, item: object, results: int) -> None:
        add(self, item, results)
        raise KeyboardInterrupt

    monkeypatch.setattr(resume.Kept, "add", add_and_end)
    assert biorrn(*words, tmp_path / "parts.tsv")[0] == 130
    assert not (tmp_path / "parts.tsv").exists()
    monkeypatch.setattr(resume.Kept, "add", add)
    code, _, err = biorrn(*words, tmp_path / "parts.tsv", "--resume")
    assert code == 0, err
    assert f"resumed: {PASS_ROWS} sequences already predicted" in err
    assert (tmp_path / "parts.tsv").read_bytes() == (tmp_path / "whole.tsv").read_bytes()
    assert not (tmp_path / "parts.tsv.partial").exists()
