"""Tags of new sequences, and the formats that hold them."""

import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError
from biorrn.config.recipe import parse_recipe
from biorrn.kernels import chain as chain_reference
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.nn.windows import joined
from biorrn.sequences.alphabets import DNA, RESIDUES
from biorrn.sequences.records import ProteinRecord
from biorrn.tagging import predict as module
from biorrn.tagging.predict import (
    FORMATS,
    Layout,
    Tagging,
    TagTally,
    open_taggings,
    states_and_marginals,
    summary_table,
    tag,
    tag_columns,
)

CALLS = ["tags", "tags_crf", "tags_crf by path"]  # a head, and what it calls


def tagger(head: str = "tags", alphabet: str = RESIDUES, conv: int = 0, hidden: int = 12) -> Stored:
    """Return an untrained tagger of three states; a chain's transitions are large enough to change its path."""
    torch.manual_seed(1)
    layers = [{"width": 8, "kernel": conv}] if conv else []
    head, _, call = head.partition(" by ")
    named = {"name": head} | ({"call": call} if call else {})
    core = {"cell": "gru", "hidden": hidden, "layers": 0 if conv else 1}
    model = {"frontend": {"name": "embedding", "width": 8, "layers": layers}, "core": core, "head": named}
    recipe = parse_recipe({"name": "tiny", "task": "tagging", "model": model})
    built = build_model(recipe.network, 3).eval()
    if head == "tags_crf":
        with torch.no_grad():
            built.head.transitions.copy_(4 * torch.eye(3))
    facts = {"task": "tagging", "outputs": 3, "alphabet": alphabet, "min_length": 5, "max_length": 90}
    if head == "values":
        facts |= {"kind": "values", "targets": [{"name": name, "unit": ""} for name in "abc"]}
    else:
        facts |= {"kind": "states", "states": "HEC", "state_names": ["helix", "strand", "coil"], "targets": []}
    return Stored.of(built, recipe, facts, Path("tiny"))


def proteins(count: int, longest: int = 120, letters: str = RESIDUES) -> list[ProteinRecord]:
    rng = np.random.default_rng(0)
    return [ProteinRecord(f"p{i}", "".join(rng.choice(list(letters), rng.integers(1, longest)))) for i in range(count)]


@pytest.mark.parametrize("head", [*CALLS, "values"])
def test_company_batch_size_and_threads_change_nothing(head: str) -> None:
    stored, records = tagger(head), proteins(50)
    one = list(tag(stored, records, batch_size=1, threads=1))
    many = list(tag(stored, records[::-1], batch_size=64, threads=3))[::-1]
    for record, alone, together in zip(records, one, many, strict=True):
        assert (alone.id, alone.sequence, alone.states) == (record.id, record.sequence, together.states)
        assert len(alone.states) == (0 if head == "values" else len(record.sequence))
        assert alone.scores.shape == (len(record.sequence), 3)
        assert np.array_equal(alone.scores, together.scores)


@pytest.mark.parametrize("head", CALLS)
def test_is_what_the_model_says(head: str) -> None:
    stored, record = tagger(head), proteins(1)[0]
    found = next(tag(stored, [record], threads=1))
    x = torch.from_numpy(joined([record]).astype(np.int64))[None]
    with torch.inference_mode():
        logits, lengths = stored.model(x, torch.tensor([x.shape[1]]))
        if head == "tags":
            path, marginals = logits.argmax(-1), logits.softmax(-1)
        else:
            rest = (getattr(stored.model.head, name).double() for name in ("transitions", "start", "end"))
            chain = (logits.double(), lengths, *rest)
            marginals = chain_reference.marginals_reference(*chain)
            path = chain_reference.viterbi(*chain) if "path" in head else marginals.argmax(-1)
            assert not torch.equal(chain_reference.viterbi(*chain), marginals.argmax(-1))  # they are not the same
    assert found.states == "".join("HEC"[state] for state in path[0].tolist())
    assert found.scores == pytest.approx(marginals[0].numpy(), abs=1e-5)
    assert found.scores.sum(axis=1) == pytest.approx(np.ones(x.shape[1]), abs=1e-5)
    assert found.confidence == pytest.approx(found.scores.max(axis=1))


def test_long_chains_are_cut_and_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that sees less far than half an overlap gives what it gives of the whole chain."""
    stored, records = tagger(conv=5), proteins(6, longest=900)
    whole = list(tag(stored, records, threads=1))
    monkeypatch.setattr(module, "LONGEST", 64)
    monkeypatch.setattr(module, "OVERLAP", 16)
    cut = list(tag(stored, records, threads=1))
    for one, other in zip(whole, cut, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert max(len(one.sequence) for one in cut) > 5 * 64


def test_ensemble_is_the_mean_of_marginals() -> None:
    from biorrn.nn.ensemble import ProbabilityEnsemble

    members = [tagger("tags").model, tagger("tags_crf").model]
    together = ProbabilityEnsemble(members, 3).eval()
    x, lengths = torch.randint(1, 21, (2, 9)), torch.tensor([9, 4])
    with torch.inference_mode():
        path, marginals = states_and_marginals(together, x, lengths)
        own = [states_and_marginals(member, x, lengths)[1] for member in members]
    assert torch.allclose(marginals[0], (own[0] + own[1])[0] / 2, atol=1e-6)
    assert torch.equal(path, marginals.argmax(-1))


def test_bases_are_read_as_the_model_was_trained() -> None:
    assert joined([ProteinRecord("a", "ACGTN")], DNA).tolist() == [1, 2, 3, 4, 5]
    found = list(tag(tagger(alphabet=DNA), proteins(3, letters=DNA), threads=1))
    assert [len(one.states) for one in found] == [len(one.sequence) for one in found]
    with pytest.raises(BiorrnError, match="letter 'R' at position 2 is not one of ACGTN"):
        list(tag(tagger(alphabet=DNA), [ProteinRecord("a", "ARG")], threads=1))


def test_flags_and_faults() -> None:
    stored = tagger()
    records = [ProteinRecord("short", "MKV"), ProteinRecord("odd", "MKXVLL", unknown=1), ProteinRecord("empty", "")]
    short, odd, empty = tag(stored, records, threads=1)
    assert (short.flags, odd.flags, empty.flags) == (["shorter_than_training"], ["unknown_residues"], ["empty"])
    assert (empty.states, empty.scores.shape, empty.confidence.shape) == ("", (0, 3), (0,))
    assert list(tag(stored, [])) == []
    assert tag_columns(stored) == ("HEC", ["H", "E", "C"])
    assert tag_columns(tagger("values")) == ("", ["a", "b", "c"])
    with pytest.raises(BiorrnError, match="--batch-size"):
        tag(stored, [], batch_size=0)
    with pytest.raises(ConfigError, match="is a model for regression; needed here is one for tagging"):
        tag_columns(Stored.of(stored.model, stored.recipe, {"task": "regression"}, Path("x")))


def test_reads_ahead_by_two_windows_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WINDOW_RESIDUES", 200)
    taken = 0

    def count() -> "object":
        nonlocal taken
        for record in proteins(60, longest=30):
            taken += 1
            yield record

    ahead = [taken - done for done, _ in enumerate(tag(tagger(), count(), threads=1))]
    assert len(ahead) == 60
    assert max(ahead) < 40


def test_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores = np.array([[0.9, 0.1, 0.0], [0.8, 0.1, 0.1], [0.2, 0.1, 0.7], [0.0, 0.0, 1.0]], np.float32)
    found = Tagging("p", "MKVL", "HHCC", scores, ["unknown_residues"])
    tally = TagTally("HEC", ["helix", "strand", "coil"])
    with summary_table(tmp_path / "s.tsv", "HEC", list("HEC")) as add:
        for _ in range(12):
            add(found)
            tally.take(found)
    tally.close()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == (
        "biorrn predict: p: 4 residues, helix 50 %, strand 0 %, coil 50 %, mean confidence 0.85, unknown_residues"
    )
    assert sum(": p: " in line for line in lines) == 10
    assert lines[-2].startswith("biorrn predict: all residues: helix 50 %")
    assert lines[-1].startswith("predict: 12 sequences, 48 residues")
    header, row, *_ = (tmp_path / "s.tsv").read_text().splitlines()
    assert header.split("\t") == ["id", "length", "H", "E", "C", "confidence", "flags"]
    assert row.split("\t") == ["p", "4", "0.5", "0", "0.5", "0.85", "unknown_residues"]


SCORES = np.array([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25], [0.0, 0.125, 0.875]], np.float32)
FOUND = [Tagging("p1", "MKV", "HEC", SCORES), Tagging("p/2", "AC", "CC", SCORES[1:], ["unknown_residues"])]
LAYOUT = Layout("HEC", ["H", "E", "C"], "tiny")
VALUES = Layout("", ["disorder"], "tiny")


def written(path: Path, layout: Layout = LAYOUT, format: str | None = None) -> str:
    with open_taggings(path, layout, format) as write:
        for one in FOUND:
            write(one if layout.states else Tagging(one.id, one.sequence, "", one.scores[:, :1]))
    return gzip.decompress(path.read_bytes()).decode() if path.suffix == ".gz" else path.read_text()


def test_table(tmp_path: Path) -> None:
    lines = [line.split("\t") for line in written(tmp_path / "x.tsv").splitlines()]
    assert lines[0] == ["id", "position", "residue", "state", "p_H", "p_E", "p_C"]
    assert lines[1] == ["p1", "1", "M", "H", "0.7", "0.2", "0.1"]
    assert [line[1] for line in lines[1:]] == ["1", "2", "3", "1", "2"]
    assert written(tmp_path / "x.csv").startswith("id,position,residue,state,p_H,p_E,p_C\np1,1,M,H,0.7,0.2,0.1\n")


def test_three_line_fasta(tmp_path: Path) -> None:
    assert written(tmp_path / "x.fasta.gz") == ">p1\nMKV\nHEC\n>p/2\nAC\nCC\n"


def test_json_lines(tmp_path: Path) -> None:
    first, second = map(json.loads, written(tmp_path / "x.jsonl").splitlines())
    assert (first["id"], first["length"], first["sequence"], first["states"]) == ("p1", 3, "MKV", "HEC")
    assert first["probabilities"] == {"H": [0.7, 0.25, 0.0], "E": [0.2, 0.5, 0.125], "C": [0.1, 0.25, 0.875]}
    assert second["flags"] == ["unknown_residues"]


def test_ss2_is_that_of_psipred(tmp_path: Path) -> None:
    """The line of coil, helix and strand in PSIPRED's own widths."""
    lines = written(tmp_path / "x.ss2").splitlines()
    assert lines[0].startswith("# PSIPRED VFORMAT")
    assert lines[1:4] == ["# p1", "", "   1 M H   0.100  0.700  0.200"]
    rows = [line.split() for line in lines if line and not line.startswith("#")]
    assert [(row[0], row[1], row[2]) for row in rows[:3]] == [("1", "M", "H"), ("2", "K", "E"), ("3", "V", "C")]


def test_ss2_a_file_a_protein(tmp_path: Path) -> None:
    folder = tmp_path / "many"
    with open_taggings(f"{folder}/", LAYOUT, "ss2") as write:
        for one in [*FOUND, Tagging("p_2", "AC", "CC", SCORES[1:])]:
            write(one)
    assert sorted(path.name for path in folder.iterdir()) == ["p1.ss2", "p_2.ss2", "p_2_2.ss2"]


def test_eight_states_become_three(tmp_path: Path) -> None:
    states = "GHIBESTC"
    scores = np.eye(8, dtype=np.float32)
    with open_taggings(tmp_path / "x.ss2", Layout(states, list(states))) as write:
        write(Tagging("p", "A" * 8, states, scores))
    rows = [line.split() for line in (tmp_path / "x.ss2").read_text().splitlines()[3:]]
    assert "".join(row[2] for row in rows) == "HHHEECCC"
    assert [row["CHE".index(row[2]) + 3] for row in rows] == ["1.000"] * 8


@pytest.mark.parametrize("format", FORMATS)
def test_values(tmp_path: Path, format: str) -> None:
    if format in ("fasta", "ss2"):
        with pytest.raises(ConfigError, match="needs a model of states"):
            written(tmp_path / "x", VALUES, format)
        return
    text = written(tmp_path / "x", VALUES, format)
    assert "disorder" in text
    assert "0.25" in text


@pytest.mark.parametrize(
    ("layout", "format", "message"),
    [
        (LAYOUT, "tvs", "--format 'tvs' is unknown; did you mean 'tsv'"),
        (Layout("io", ["i", "o"]), "ss2", "the model's states are io"),
        (Layout("", ["position"]), "tsv", "two columns would be named 'position'"),
    ],
)
def test_what_does_not_fit_is_said(tmp_path: Path, layout: Layout, format: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message), open_taggings(tmp_path / "x", layout, format):
        pass
    assert not (tmp_path / "x").exists()
