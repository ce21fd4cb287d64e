"""The translation task, from prepared files to what a trained model tells."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError, InputError
from biorrn.config.recipe import Recipe, load_recipe, parse_recipe
from biorrn.nn.batch import Batch
from biorrn.nn.decoder import END
from biorrn.nn.store import load_model, save_model
from biorrn.sequences.splits import parse_split
from biorrn.training.task import load_task
from biorrn.training.train import train
from biorrn.translation import task as translation
from biorrn.translation.data import Pair, PairDataset, coding_pairs, prepare_pairs
from biorrn.translation.evaluate import evaluate_translation
from biorrn.translation.predict import CUT, translate

CONV = {"name": "conv", "layers": [{"width": 8, "kernel": 9, "stride": 4}]}


def recipe(epochs: int = 1, frontend: dict[str, Any] | None = None, batch: int = 16, **head: Any) -> Recipe:
    parts = {
        "frontend": frontend or {"name": "embedding", "width": 8, "symbols": 65},
        "core": {"cell": "gru", "hidden": 12, "layers": 1},
        "head": {
            "name": "decoder", "hidden": 24, "embedding": 6, "attention": "location", "attention_width": 12,
            "kernel": 7, **head,
        },
    }  # fmt: skip
    training = {"batch_size": batch, "epochs": epochs, "lr": 0.02, "loss": "cross_entropy"}
    chunks = {"chunks": {"samples": 160, "overlap": 40, "epoch": 32}} if frontend else {}
    return parse_recipe({"name": "tiny", "task": "translation", "model": parts, "training": training, **chunks})


@pytest.fixture(scope="module")
def untrained(tiny_pairs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a model that knows nothing."""
    folder, asked = tmp_path_factory.mktemp("untrained"), recipe()
    data = translation.open_data(tiny_pairs, asked)
    torch.manual_seed(0)
    save_model(folder, translation.make_model(asked, data), asked, data.facts)
    return folder


def test_it_learns_by_heart(tmp_path: Path) -> None:
    path = tmp_path / "seen.h5"
    known = [
        Pair(one.id, one.source, one.target, split) for split in ("train", "valid") for one in coding_pairs(10, 3, 5)
    ]
    prepare_pairs(known, path, parse_split("column:split", "pairs"), "codons", "residues")
    folder = train(recipe(40, batch=5, attention="moving"), path, tmp_path / "run", load_task("translation"), threads=1)
    data = PairDataset(path, "train")
    stored = load_model(folder)
    assert stored.facts["source"] == "codons"
    records = [(data.ids[row], data.source.decode(data.symbols("source", row))) for row in range(len(data))]
    told = list(translate(stored, records, beam=1, batch_size=7))
    wanted = [data.target.decode(data.symbols("target", row)) for row in range(len(data))]
    assert [one.id for one in told] == data.ids
    assert np.mean([one.target == other for one, other in zip(told, wanted, strict=True)]) > 0.9
    content, _ = evaluate_translation([str(folder)], path, name="seen", split="train", beam=1)
    found = content["metrics"][str(folder)]
    assert found["exact"]["value"] > 0.9
    assert found["symbol_error_rate"]["value"] < 0.05


def test_what_goes_in_is_one_behind_what_comes_out() -> None:
    given, wanted = translation.teaching(torch.tensor([[3, 4, 5], [6, 0, 0]]), torch.tensor([3, 1]))
    assert given.tolist() == [[END, 3, 4, 5], [END, 6, 0, 0]]
    assert wanted.tolist() == [[3, 4, 5, END], [6, END, -1, -1]]


def batch_of(targets: list[list[int]], lengths: list[int]) -> Batch:
    return Batch(
        x=torch.randint(1, 66, (len(targets), 8)), lengths=torch.full((len(targets),), 8),
        targets=torch.tensor(targets), target_lengths=torch.tensor(lengths),
    )  # fmt: skip


@pytest.mark.parametrize("head", [{}, {"sampling": 0.5}, {"smoothing": 0.1}, {"sampling": 1.0, "cell": "lstm"}])
def test_loss_does_not_see_padding(head: dict[str, Any], tiny_pairs: Path) -> None:
    asked = recipe(**head)
    model = translation.make_model(asked, translation.open_data(tiny_pairs, asked)).eval()
    one = batch_of([[3, 4], [5, 0]], [2, 1])
    longer = Batch(one.x, one.lengths, torch.nn.functional.pad(one.targets, (0, 3)), one.target_lengths)  # type: ignore[arg-type]
    found = []
    for batch in (one, longer):
        outputs, lengths = model(batch.x, batch.lengths)
        found.append(float(translation.loss(model, outputs, lengths, batch, asked).detach()))
    assert math.isclose(*found, rel_tol=1e-5)
    assert translation.share(one, asked) == 5
    model.train()
    torch.manual_seed(0)
    outputs, lengths = model(one.x, one.lengths)
    translation.loss(model, outputs, lengths, one, asked).backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_score_counts_edits(tiny_pairs: Path) -> None:
    asked = recipe()
    model = translation.make_model(asked, translation.open_data(tiny_pairs, asked)).eval()
    with torch.no_grad():
        model.head.output.bias[END] = 1e4  # type: ignore[union-attr]  # tells nothing
        batch = batch_of([[3, 4], [5, 0]], [2, 1])
        outputs, lengths = model(batch.x, batch.lengths)
        rows = translation.collect_from(model, outputs, lengths, batch, asked)
    assert rows.tolist() == [[2, 2, 0], [1, 1, 0]]
    assert translation.score([rows])["symbol_error_rate"] == 1.0


def test_signal_is_told_as_bases(tiny_signal: Path, tmp_path: Path) -> None:
    """A decoder and a basecaller are trained for an epoch each, and told the same chunks."""
    folder = train(recipe(1, CONV, ctc=0.5), tiny_signal, tmp_path / "decoder", load_task("translation"), threads=1)
    content = recipe(1, CONV).model_dump(mode="json")
    content |= {"task": "basecalling", "model": content["model"] | {"head": {"name": "ctc"}}}
    content["training"]["loss"] = "ctc"
    other = train(parse_recipe(content), tiny_signal, tmp_path / "ctc", load_task("basecalling"), threads=1)
    found, told = evaluate_translation([str(folder), str(other)], tiny_signal, name="both", split="valid", beam=2)
    assert [entry["head"] for entry in found["models"].values()] == ["decoder", "ctc"]
    for entry in told.values():
        assert entry.counts.shape == (found["rows"]["chunks"], 4)
        assert (entry.counts[:, [0, 1, 3]].sum(1) == entry.symbols).all()
        assert (entry.edits == entry.counts[:, 1:].sum(1)).all()
    sample = told[str(folder)].sample
    assert sample is not None
    assert np.allclose(sample[1].sum(1), 1, atol=1e-5)
    with pytest.raises(ConfigError, match="translates signal; expected a model of sequences"):
        list(translate(load_model(folder), [("a", "ATG")]))


def test_a_model_that_knows_nothing_is_cut_where_it_says(untrained: Path, tiny_pairs: Path) -> None:
    stored = load_model(untrained)
    with torch.no_grad():
        stored.model.head.output.bias[END] = -1e4  # type: ignore[union-attr]
    found = next(translate(stored, [("a", "ATGGCC")], attention=lambda name: True))
    assert found.flags == [CUT]
    assert found.attention is not None
    assert found.attention.shape == (len(found.target), 2)
    assert found.source_symbols == ["ATG", "GCC"]
    assert 0 < found.probability < 1


@pytest.mark.parametrize("beam", [1, 3])
def test_batches_change_nothing(beam: int, untrained: Path) -> None:
    stored, records = load_model(untrained), [("a", "ATG"), ("b", "ATGGCCAAA"), ("c", "GGGATG")]
    alone = list(translate(stored, records, beam=beam, batch_size=1))
    together = list(translate(stored, records, beam=beam, batch_size=8))
    assert [one.target for one in alone] == [one.target for one in together]
    assert np.allclose([one.probability for one in alone], [one.probability for one in together], atol=1e-5)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"model.head": {"name": "ctc"}}, "task translation needs head 'decoder'; found 'ctc'"),
        ({"model.frontend": CONV}, "found conv; allowed for codons in the data is one of embedding"),
        (
            {"model.frontend": {"name": "embedding"}},
            "model.frontend.symbols: found 21; the sources are codons, which needs 65",
        ),
        (
            {"model.head": {"name": "decoder", "ctc": 0.5}},
            "model.head.ctc: found 0.5; allowed is 0 where the data is no signal",
        ),
        ({"training.loss": "ctc"}, "loss 'ctc' is unknown"),
    ],
)
def test_recipes_that_do_not_fit_are_refused(change: dict[str, Any], fault: str, tiny_pairs: Path) -> None:
    content = recipe().model_dump(mode="json")
    for key, value in change.items():
        part, name = key.split(".")
        content[part][name] = value
    asked = parse_recipe(content)
    with pytest.raises(ConfigError, match=fault):
        translation.make_model(asked, translation.open_data(tiny_pairs, asked))


def test_data_of_another_kind_is_refused(tiny_proteins: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds protein data; expected a file of `biorrn prepare pairs`"):
        translation.open_data(tiny_proteins, recipe())
    with pytest.raises(InputError, match="no such file"):
        translation.open_data(tmp_path / "no.h5", recipe())


@pytest.mark.parametrize("name", ["codons", "signal_decoder"])
def test_shipped_recipes_are_of_this_task(name: str, tiny_pairs: Path, tiny_signal: Path) -> None:
    asked = load_recipe(name)
    data = translation.open_data(tiny_pairs if name == "codons" else tiny_signal, asked)
    assert translation.make_model(asked, data).head


def test_twins_have_one_encoder() -> None:
    decoder, ctc = (load_recipe(name) for name in ("signal_decoder", "signal_ctc"))
    for part in ("frontend", "core", "input_dropout", "steps", "pool"):
        assert getattr(decoder.network, part) == getattr(ctc.network, part)
    assert decoder.chunks == ctc.chunks


@pytest.mark.parametrize(
    ("facts", "fault"),
    [
        ({"target": "klingon"}, "fact 'target': found 'klingon'; allowed is dna"),
        ({"outputs": 23}, "has 23 outputs; residues and the end are 22"),
        ({"source": "signal"}, "fact 'normaliser' or 'stride' is missing"),
        ({"symbols_a_step": None}, "fact 'symbols_a_step' is missing"),
    ],
)
def test_facts_that_cannot_be_are_refused(
    facts: dict[str, Any], fault: str, untrained: Path, tmp_path: Path
) -> None:  # fmt: skip
    stored = load_model(untrained)
    save_model(tmp_path, stored.model, stored.recipe, stored.facts | facts)
    with pytest.raises(InputError, match=fault):
        load_model(tmp_path)
