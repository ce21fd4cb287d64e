"""States of single units: that they are those of the model, what they correlate with, and how they are shown."""

import html.parser
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, ConfigError, InputError
from biorrn.config.recipe import parse_recipe
from biorrn.experiments.activations.files import (
    SHOWN,
    Found,
    activation_figure,
    coloured,
    export_states,
    look,
    shades,
    writer_of,
)
from biorrn.experiments.activations.states import States, Watched, activations, check_size, watch
from biorrn.experiments.activations.units import (
    Choice,
    Correlations,
    choose_names,
    mean_along,
    parse_units,
    properties_of,
    read_labels,
)
from biorrn.nn.sequence import build_model
from biorrn.nn.store import Stored
from biorrn.sequences.alphabets import DNA, RESIDUES
from biorrn.sequences.sequence_set import SequenceSet, as_set
from biorrn.sequences.tokenisers import BOS, EOS, Tokeniser, kmer_tokeniser, residue_tokeniser

SEQUENCES = ["MKVLATDXEEKR", "ACD", "MKKLLPTAAAGLLLLAAQPAMA"]


def proteins(texts: list[str] = SEQUENCES) -> SequenceSet:
    return as_set([f"p{number}" for number in range(len(texts))], texts, RESIDUES)


def language(tokeniser: Tokeniser, **core: Any) -> Stored:
    parts = {
        "frontend": {"name": "tokens", "width": 6, "size": tokeniser.size},
        "core": {"cell": "gru", "hidden": 8, "layers": 2, "direction": "forward"} | core,
        "head": {"name": "tokens"},
    }
    recipe = parse_recipe({"name": "lm", "task": "language", "model": parts})
    torch.manual_seed(1)
    model = build_model(recipe.network, tokeniser.size).eval()
    return Stored.of(model, recipe, {"task": "language", "tokeniser": tokeniser.to_dict()}, Path("lm"))


def regression(**core: Any) -> Stored:
    parts = {
        "frontend": {"name": "onehot"},
        "core": {"cell": "lstm", "hidden": 5, "layers": 2} | core,
        "pool": ["mean"],
    }
    recipe = parse_recipe({"name": "r", "task": "regression", "model": parts})
    torch.manual_seed(2)
    return Stored.of(build_model(recipe.network, 1).eval(), recipe, {"task": "regression", "outputs": 1}, Path("r"))


RESIDUE = residue_tokeniser(RESIDUES)


@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_states_of_a_language_model_are_those_of_its_core(direction: str) -> None:
    stored = language(RESIDUE, direction=direction)
    found = list(activations(watch(stored, 0), proteins()))
    assert [one.sequence for one in found] == SEQUENCES
    for one in found:
        x = torch.tensor([[BOS, *RESIDUE.encode(one.sequence), EOS]])
        model: Any = stored.model
        with torch.no_grad():
            states = model.core(*model.frontend(x, torch.tensor([x.shape[1]])))[0][0, 1:-1].numpy()
        assert np.allclose(one.values, states, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("stored", [language(RESIDUE), regression()], ids=["language", "regression"])
def test_the_batch_changes_nothing(stored: Stored, batch: int) -> None:
    for a, b in zip(
        activations(watch(stored), proteins()), activations(watch(stored), proteins(), batch_size=batch), strict=True
    ):
        assert np.allclose(a.values, b.values, atol=1e-6)


def test_letters_of_one_symbol_share_its_state() -> None:
    words = kmer_tokeniser(DNA, 3)
    stored = language(words)
    (one,) = activations(watch(stored), as_set(["g"], ["ACGTTGCA"], DNA))
    assert one.sequence == "ACGTTGCA"
    assert one.values.shape == (8, 8)
    for first, last in ((0, 2), (3, 5)):
        assert (one.values[first : last + 1] == one.values[first]).all()
    assert not np.allclose(one.values[2], one.values[3])
    assert not np.allclose(one.values[6], one.values[7])  # what is left over is spelled in letters


def test_layers_of_another_task() -> None:
    stored = regression()
    model: Any = stored.model
    x = torch.from_numpy(proteins(["MKVLA"]).tokens.astype(np.int64))[None]
    with torch.no_grad():
        first = model.core.layers[0](model.frontend(x, torch.tensor([5]))[0], torch.tensor([5]))[0].numpy()
    (one,) = activations(watch(stored, 1), proteins(["MKVLA"]))
    assert np.allclose(one.values, first, atol=1e-6)
    watched = watch(stored)
    assert (watched.name, watched.width, watched.alphabet) == ("layer 2 of 2", 10, RESIDUES)
    assert [watched.direction(unit) for unit in (0, 4, 5, 9)] == ["forward"] * 2 + ["backward"] * 2


@pytest.mark.parametrize(
    ("stored", "options", "fault"),
    [
        (regression(), {"layer": 3}, "--layer: found 3; allowed is 1 to 2"),
        (regression(), {"layer": -1}, "--layer: found -1"),
        (regression(), {"member": 2}, "--member: found 2; allowed is 1 to 1"),
        (regression(layers=0), {}, "has no recurrent layer; allowed is --layer 0"),
        (
            Stored.of(torch.nn.Identity(), regression().recipe, {"task": "basecalling"}, Path("b")),
            {},
            "found task basec",
        ),
    ],
)
def test_models_without_such_units(stored: Stored, options: dict[str, int], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        watch(stored, **options)


def test_too_much_to_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("biorrn.experiments.activations.states.MOST", 10)
    with pytest.raises(BiorrnError, match="37 letters of 8 units are 296 states; allowed are 10"):
        check_size(watch(language(RESIDUE)), proteins())


# -- properties and correlation ----------------------------------------------------------------------------------------
def test_properties_of_a_protein() -> None:
    found = properties_of("IXK", RESIDUES)
    assert found["hydropathy"].tolist()[::2] == [4.5, -3.9]
    assert all(math.isnan(values[1]) for name, values in found.items() if name == "charge")
    assert found["position"].tolist() == [0, 0.5, 1]
    assert found["hydropathy_15"].round(6).tolist() == [0.3, 0.3, 0.3]  # X is left out of the mean
    assert {len(values) for values in found.values()} == {3}


def test_properties_of_bases() -> None:
    found = properties_of("ACGN", DNA)
    assert found["gc"].tolist()[:3] == [0, 1, 1]
    assert found["purine"].tolist()[:3] == [1, 0, 1]
    assert math.isnan(found["gc"][3])


def test_the_mean_along_a_sequence_is_that_of_its_window() -> None:
    values = np.random.default_rng(0).normal(size=40)
    values[7] = np.nan
    brute = [np.nanmean(values[max(0, place - 7) : place + 8]) for place in range(40)]
    assert np.allclose(mean_along(values), brute)
    assert np.isnan(mean_along(np.full(3, np.nan))).all()


def test_correlations_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    sums = Correlations(6, ["a", "b"])
    halves: list[list[tuple[np.ndarray, dict[str, np.ndarray]]]] = [[], []]
    for number in range(8):
        values, own = rng.normal(size=(30, 6)).astype(np.float32), {name: rng.normal(size=30) for name in "ab"}
        own["a"][3] = np.nan
        own["b"] += 2 * values[:, 4]
        halves[number % 2].append((values, own))
        sums.add(values, own)
    for half, rows in enumerate(halves):
        found, letters = sums.of([half])
        assert letters.tolist() == [116, 120]
        for place, name in enumerate("ab"):
            x = np.concatenate([own[name] for _, own in rows])
            y = np.concatenate([values for values, _ in rows])[np.isfinite(x)]
            expected = [np.corrcoef(x[np.isfinite(x)], y[:, unit])[0, 1] for unit in range(6)]
            assert np.allclose(found[place], expected)
    best = sums.choose()[0]
    assert (best.unit, best.property, best.apart, best.letters) == (4, "b", True, 120)
    assert best.correlation == pytest.approx(sums.of([1])[0][1, 4])
    assert sums.best_of(4).property == "b"


def test_a_unit_that_never_moves_has_no_correlation() -> None:
    sums = Correlations(2, ["a"])
    sums.add(np.full((9, 2), 0.3, np.float32), {"a": np.arange(9.0)})
    assert sums.of([0])[0].tolist() == [[0, 0]]
    assert not sums.choose()[0].apart  # one sequence: there is none left to tell


def test_units_and_properties_are_named() -> None:
    assert parse_units("auto", 8) is None
    assert parse_units("3, 7,3", 8) == [3, 7]
    assert choose_names("charge,position,charge", RESIDUES) == ["charge", "position"]
    for asked in ("8", "-1", "x", "", "1,,2"):
        with pytest.raises(ConfigError, match="--units: found"):
            parse_units(asked, 8)
    with pytest.raises(ConfigError, match="did you mean 'hydropathy'"):
        choose_names("hydropaty", RESIDUES)


TABLE = "id\tposition\tstate\np0\t1\tH\np0\t2\tH\np0\t3\tH\np0\t4\tE\np0\t5\tE\np1\t1\tC\n"


@pytest.mark.parametrize("text", [">p0\nHHH\nEE\n>p1\nC\n", TABLE], ids=["FASTA", "table"])
def test_labels_of_two_kinds(text: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    assert read_labels(tmp_path / "labels") == {"p0": "HHHEE", "p1": "C"}


@pytest.mark.parametrize(
    ("text", "fault"),
    [("", "column 'id' is missing"), (">a\n", "holds no label"), ("id\tstate\na\tHH\n", "line 2: found state 'HH'")],
)
def test_labels_that_are_none(text: str, fault: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_text(text)
    with pytest.raises(InputError, match=fault):
        read_labels(tmp_path / "labels")


# -- what is written ---------------------------------------------------------------------------------------------------
def found_of(watched: Watched, **options: Any) -> Found:
    return look(watched, activations(watched, proteins()), name="m", **options)


def test_a_label_finds_the_unit_that_is_it(tmp_path: Path) -> None:
    """States that are a label by themselves: the unit is found, with r = 1."""
    rng = np.random.default_rng(0)
    labels = ["".join(rng.choice(list("HC"), 30)) for _ in range(4)]
    states = []
    for number, text in enumerate(labels):
        values = rng.normal(size=(30, 8)).astype(np.float32)
        values[:, 5] = [letter == "H" for letter in text]
        states.append(States(f"p{number}", "A" * 30, values))
    (tmp_path / "l.fa").write_text("".join(f">p{number}\n{text}\n" for number, text in enumerate(labels)))
    found = look(watch(language(RESIDUE)), states, properties="position", labels=tmp_path / "l.fa", most=1)
    assert [choice.unit for choice in found.units] == [5]
    assert abs(found.units[0].correlation) == pytest.approx(1)
    (tmp_path / "l.fa").write_text(">p0\nHHC\n")
    with pytest.raises(InputError, match="record 'p0': has 3 labels for 30 letters"):
        look(watch(language(RESIDUE)), states, labels=tmp_path / "l.fa")


class Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.said, self.links = "", []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.open += [] if tag == "meta" else [tag]
        self.links += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.said += data if self.open[-1:] in (["i"], ["span"]) else ""


def test_the_page_is_whole_and_needs_nothing_else(tmp_path: Path) -> None:
    found = found_of(watch(regression()), units="0,9")
    write = writer_of(tmp_path / "u.html")
    write(tmp_path / "u.html", found)
    text = (tmp_path / "u.html").read_text()
    parsed = Page()
    parsed.feed(text)
    assert not parsed.open
    assert not parsed.links
    assert "http" not in text.replace("http-equiv", "")
    assert "prefers-color-scheme:dark" in text
    assert parsed.said.replace("\n", "").replace("\N{NO-BREAK SPACE}", "").endswith("".join(SEQUENCES) * 2)
    assert "reads backward" in text
    assert text.count("<section>") == 2


def test_a_page_shows_the_first_sequences_and_says_so(tmp_path: Path) -> None:
    watched = watch(language(RESIDUE))
    many = proteins(["MKV"] * (SHOWN + 3))
    found = look(watched, activations(watched, many), most=1)
    writer_of("u.html")(tmp_path / "u.html", found)
    text = (tmp_path / "u.html").read_text()
    assert text.count('class="id"') == SHOWN
    assert f"The first {SHOWN} of {SHOWN + 3} sequences" in text


def test_shades_and_ids_of_any_letters() -> None:
    assert shades(np.array([np.float32(0.05), 2.0, -0.06]), 1.0).tolist() == [0, 9, -1]
    assert coloured("AB", np.array([1.0, 1.0]), 1.0) == '<span><sub>1</sub><i class="p9">AB</i></span>'
    assert coloured("A<B", np.array([0.0, 1.0, 0.0]), 1.0) == '<span><sub>1</sub>A<i class="p9">&lt;</i>B</span>'


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_figure(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"u.{suffix}"
    writer_of(path)(path, found_of(watch(regression()), units="1"))
    assert path.stat().st_size > 4000


def test_a_figure_that_would_be_too_tall_is_refused() -> None:
    from biorrn.experiments.activations.files import Page as Shown

    states = [States(f"p{number}", "A" * 51, np.zeros((51, 1), np.float32)) for number in range(61)]
    with pytest.raises(BiorrnError, match="shows up to 120 lines of 50 letters; found 122 for each of 1"):
        activation_figure(Shown("m", [(Choice(0, "", 0.0, 0, False), "")], np.ones(1)), states)


def test_table_and_arrays_hold_the_states(tmp_path: Path) -> None:
    found = found_of(watch(language(RESIDUE)), units="2,6", properties="charge")
    writer_of("u.tsv.gz")(tmp_path / "u.tsv", found)
    rows = [line.split("\t") for line in (tmp_path / "u.tsv").read_text().splitlines()]
    assert rows[0] == ["id", "position", "residue", "unit_2", "unit_6"]
    assert "".join(row[2] for row in rows[1:]) == "".join(SEQUENCES)
    table = np.array([row[3:] for row in rows[1:]], float)
    writer_of("u.npz")(tmp_path / "u.npz", found)
    with np.load(tmp_path / "u.npz") as arrays:
        assert np.allclose(arrays["states"][:, [2, 6]], table, atol=1e-5)
        assert arrays["offsets"].tolist() == [0, 12, 15, 37]
        assert b"".join(arrays["letters"]).decode() == "".join(SEQUENCES)
        assert arrays["units"].tolist() == [2, 6]
        assert arrays["properties"].tolist() == ["charge", "charge"]


def test_exported_states_and_means(tmp_path: Path) -> None:
    watched, chosen = watch(language(RESIDUE), 0), proteins()
    states = list(activations(watched, chosen))
    export_states(tmp_path / "s.npz", watched, chosen, states, False)
    export_states(tmp_path / "m.npz", watched, chosen, states, True)
    export_states(tmp_path / "m.tsv", watched, chosen, states, True)
    with np.load(tmp_path / "s.npz") as whole, np.load(tmp_path / "m.npz") as means:
        parts = np.split(whole["states"], whole["offsets"][1:-1])
        assert np.allclose(means["means"], [part.mean(0) for part in parts], atol=1e-6)
        rows = [line.split("\t") for line in (tmp_path / "m.tsv").read_text().splitlines()]
        assert [row[:2] for row in rows[1:]] == [["p0", "12"], ["p1", "3"], ["p2", "22"]]
        assert np.allclose(np.array([row[2:] for row in rows[1:]], float), means["means"], atol=1e-5)


@pytest.mark.parametrize("path", ["u.pdf", "u", "u.npz.gz", "u.png.gz"])
def test_suffixes_without_a_writer(path: str) -> None:
    with pytest.raises(ConfigError, match="--output: found"):
        writer_of(path)


@pytest.mark.parametrize(("path", "mean"), [("s.tsv", False), ("s.npz.gz", False), ("m.pdf", True), ("m", True)])
def test_exports_without_a_writer(path: str, mean: bool) -> None:
    watched = watch(language(RESIDUE))
    with pytest.raises(ConfigError, match="--output: found"):
        export_states(path, watched, proteins(), [], mean)
