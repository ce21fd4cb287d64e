"""Protein language models of transformers: tiny ones with random weights, in the layout of the hub, built here."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from biorrn.base.errors import ConfigError
from biorrn.nn import hub
from biorrn.nn.hub import MODELS, OVERLAP, LanguageModel, is_plm
from biorrn.proteins import plm
from biorrn.proteins.plm import embed
from biorrn.sequences import embeddings
from biorrn.sequences.alphabets import STANDARD, tokens
from biorrn.sequences.embeddings import Embeddings, sequence_hash
from biorrn.sequences.records import ProteinRecord

transformers = pytest.importorskip("transformers", reason="needs the extra plm")

LETTERS = "ALGVSREDTIPKFQNYMHWCXUBZO"
RNG = np.random.default_rng(0)
TEXTS = ["".join(RNG.choice(list(LETTERS[:20]), length)) for length in (5, 1, 40, 33, 12, 40)]
RECORDS = [ProteinRecord(f"p{place}", text) for place, text in enumerate(TEXTS)]


@pytest.fixture(params=["esm", "t5"])
def folder(request: pytest.FixtureRequest) -> Path:
    """Return the folder of a tiny model of each kind."""
    return Path(request.getfixturevalue(f"tiny_{request.param}"))


@pytest.fixture(scope="session")
def esm(tiny_esm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(shutil.copytree(tiny_esm, tmp_path_factory.mktemp("plm") / "tiny"))


@pytest.fixture(autouse=True)
def nothing_open() -> Iterator[None]:
    yield
    embeddings.release()


def by_transformers(folder: Path, text: str) -> np.ndarray:
    """Return the last hidden states of residues, as the documentation of each model computes them."""
    tokeniser = transformers.AutoTokenizer.from_pretrained(folder)
    is_t5 = "t5" in folder.name
    kind = transformers.T5EncoderModel if is_t5 else transformers.AutoModel
    model = kind.from_pretrained(folder).eval()
    given = tokeniser(" ".join(text) if is_t5 else text, return_tensors="pt")
    with torch.inference_mode():
        states = model(given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state[0].numpy()
    return states[:-1] if is_t5 else states[1:-1]  # type: ignore[no-any-return]


def test_states_are_those_of_transformers_and_of_residues_alone(folder: Path) -> None:
    model = LanguageModel.load(str(folder))
    found = model.states(TEXTS)
    for text, states in zip(TEXTS, found, strict=True):
        assert states.shape == (len(text), 16)
        np.testing.assert_allclose(states, by_transformers(folder, text), atol=2e-5)
    assert model.model == folder.name


@pytest.mark.parametrize("mean", [False, True])
def test_the_file_is_that_of_biotrainer_and_is_read_back(folder: Path, mean: bool, tmp_path: Path) -> None:
    model = LanguageModel.load(str(folder))
    counts = embed(model, RECORDS, tmp_path / "e.h5", mean=mean)
    assert counts == {"embedded": 6, "kept": 0}
    with h5py.File(tmp_path / "e.h5") as file:
        assert set(file) == {sequence_hash(text) for text in TEXTS}
        assert {data.attrs["original_id"] for data in file.values()} == {record.id for record in RECORDS}
        assert {data.dtype for data in file.values()} == {np.dtype(np.float16)}
    source = Embeddings.open(tmp_path / "e.h5")
    assert (source.model, source.width, source.size) == (folder.name, 16, 6)
    for text in TEXTS:
        wanted = by_transformers(folder, text)
        found = source.get(tokens(text), mean)
        assert found is not None
        np.testing.assert_allclose(found, wanted.mean(0) if mean else wanted, atol=2e-3)
    assert not list(tmp_path.glob(".*"))


def test_an_interrupted_run_resumes_and_a_longer_input_adds(
    esm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, output = LanguageModel.load(str(esm)), tmp_path / "e.h5"
    monkeypatch.setattr(plm, "PART", 1)  # each protein is a part
    done = []

    def stop(proteins: int) -> None:
        done.append(proteins)
        if len(done) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        embed(model, RECORDS[:5], output, advance=stop)
    assert not output.exists()
    assert embed(model, RECORDS[:5], output) == {"embedded": 2, "kept": 3}
    assert embed(model, RECORDS, output) == {"embedded": 1, "kept": 5}
    assert embed(model, RECORDS, output) == {"embedded": 0, "kept": 6}
    embed(model, RECORDS, tmp_path / "whole.h5")
    with h5py.File(output) as one, h5py.File(tmp_path / "whole.h5") as other:
        assert set(one) == set(other)
        for name in one:
            np.testing.assert_array_equal(one[name][:], other[name][:])


def test_another_kind_in_the_output_is_refused_unless_replaced(esm: Path, tmp_path: Path) -> None:
    model, output = LanguageModel.load(str(esm)), tmp_path / "e.h5"
    embed(model, RECORDS, output)
    with pytest.raises(ConfigError, match=r"e\.h5: holds no embeddings of tiny, one a protein, in windows of 1022"):
        embed(model, RECORDS, output, mean=True)
    embed(model, RECORDS, output, mean=True, replace=True)
    assert Embeddings.open(output).per == "protein"


def test_a_long_protein_is_joined_from_windows(esm: Path, tmp_path: Path) -> None:
    model, text, window = LanguageModel.load(str(esm)), TEXTS[2] * 20, 400
    embed(model, [ProteinRecord("long", text), RECORDS[0]], tmp_path / "e.h5", window=window, half=False)
    found = Embeddings.open(tmp_path / "e.h5").get(tokens(text), False)
    assert found is not None
    assert found.shape == (len(text), 16)
    assert np.isfinite(found).all()
    cuts = hub.spans(len(text), window, OVERLAP, 1)
    assert len(cuts) > 2
    for cut in cuts:
        alone = by_transformers(esm, text[cut.start : cut.start + cut.length])
        own = slice(cut.first - cut.start, cut.last - cut.start)
        np.testing.assert_allclose(found[cut.first : cut.last], alone[own], atol=2e-5)


def test_numbers_beyond_float16_are_kept_as_float32() -> None:
    assert hub.stored_as(np.array([1.0], np.float32), True).dtype == np.float16
    assert hub.stored_as(np.array([1e6], np.float32), True).dtype == np.float32


def test_a_model_embeds_as_it_is_asked_and_as_the_file_has_it(esm: Path, tmp_path: Path) -> None:
    model = LanguageModel.load(str(esm))
    embed(model, RECORDS, tmp_path / "e.h5", mean=True)
    source = Embeddings.open(tmp_path / "e.h5")
    embeddings.use_live(model)
    rows = [tokens(text) for text in [*TEXTS, TEXTS[0]]]
    for row, found in zip(rows, embeddings.lookup(rows, 16, True, "tiny"), strict=True):
        stored = source.get(row, True)
        assert stored is not None
        np.testing.assert_allclose(found, stored, atol=1e-3)


def test_without_files_or_network_one_line_says_what_to_fetch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub
    from huggingface_hub import constants

    asked = []

    def fetch(*words: Any, **more: Any) -> Any:
        asked.append(more["local_files_only"])
        raise huggingface_hub.errors.LocalEntryNotFoundError("Got: no network\nand more")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fetch)
    for offline, tries in ((True, [True]), (False, [True, False])):
        asked.clear()
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        with pytest.raises(ConfigError, match="hf download facebook/esm2_t12_35M_UR50D --local-dir") as error:
            LanguageModel.load("esm2_t12_35M_UR50D")
        assert "\n" not in str(error.value)
        assert asked == tries, "asked more than once: each try may wait for the network"


def test_without_the_package_one_line_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r"pip install 'biorrn\[plm\]'"):
        LanguageModel.load("esm2_t6_8M_UR50D")


def test_an_unknown_name_has_a_suggestion() -> None:
    with pytest.raises(ConfigError, match="did you mean 'esm2_t6_8M_UR50D'"):
        LanguageModel.load("esm2_t6_8M")


def test_weights_that_are_missing_are_an_error(esm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    for file in esm.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    held = load_file(tmp_path / "model.safetensors")
    name = next(key for key in held if "layer.1.attention" in key)
    del held[name]
    save_file(held, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ConfigError, match="its weights lack"):
        LanguageModel.load(str(tmp_path))


def test_log_odds_are_masked_marginals(esm: Path) -> None:
    text, place, new = TEXTS[4], 5, "W"
    tokeniser = transformers.AutoTokenizer.from_pretrained(esm)
    model = transformers.AutoModelForMaskedLM.from_pretrained(esm).eval()
    given = tokeniser(text, return_tensors="pt")
    given["input_ids"][0, place + 1] = tokeniser.mask_token_id
    with torch.inference_mode():
        scores = torch.log_softmax(model(**given).logits[0, place + 1], -1)
    wanted = scores[tokeniser.convert_tokens_to_ids(new)] - scores[tokeniser.convert_tokens_to_ids(text[place])]
    found = LanguageModel.load(str(esm), masked=True).log_odds(text)
    assert found.shape == (len(text), 20)
    assert abs(found[place, STANDARD.index(new)] - float(wanted)) < 1e-5
    assert all(found[row, STANDARD.index(letter)] == 0 for row, letter in enumerate(text))


def test_log_odds_of_a_long_protein_see_the_residues_around(esm: Path) -> None:
    model, text = LanguageModel.load(str(esm), masked=True), TEXTS[2] * 3
    found = model.log_odds(text, window=50)
    middle = model.log_odds(text[35:85], window=50)  # of place 60 the window is 35 to 85
    np.testing.assert_allclose(found[60], middle[25], atol=1e-5)
    np.testing.assert_allclose(found[0], model.log_odds(text[:50])[0], atol=1e-5)


def test_zero_shot_scan(esm: Path, tmp_path: Path, run_cli: Callable[..., int]) -> None:
    fasta = tmp_path / "p.fasta"
    fasta.write_text(f">a\n{TEXTS[4]}\n")
    assert run_cli("scan", "--zero-shot", esm, fasta, "--device", "cpu", "-o", tmp_path / "s.tsv") == 0
    lines = [line.split("\t") for line in (tmp_path / "s.tsv").read_text().splitlines()]
    assert len(lines) == 1 + 19 * len(TEXTS[4])
    table = LanguageModel.load(str(esm), masked=True).log_odds(TEXTS[4])
    column = lines[0].index("log_odds")
    for line in lines[1:]:
        assert float(line[column]) == pytest.approx(
            table[int(line[1]) - 1, STANDARD.index(line[3])], rel=1e-3, abs=1e-5
        )


def test_zero_shot_needs_a_masked_model(tiny_t5: Path) -> None:
    with pytest.raises(ConfigError, match="log odds need a masked model"):
        plm.zero_shot(str(tiny_t5))


def test_names() -> None:
    assert all(is_plm(name) and is_plm(hub) for name, hub in MODELS.items())
    assert not is_plm("proteins.h5")


def test_command_line(
    esm: Path, tmp_path: Path, run_cli: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    fasta, output = tmp_path / "p.fasta", tmp_path / "e.h5"
    fasta.write_text("".join(f">{record.id}\n{record.sequence}\n" for record in RECORDS) + ">bad\nMK7\n")
    assert run_cli("embed", "plm", fasta, "--model", esm, "-o", output, "--device", "cpu", "--threads", 1) == 0
    assert "6 proteins embedded by tiny, 16 numbers a protein" in capsys.readouterr().err
    assert run_cli("prepare", "plm", fasta, "--model", esm, "-o", output, "--device", "cpu") == 0
    assert "0 proteins embedded by tiny, 16 numbers a protein, 6 were there" in capsys.readouterr().err
    for words in (["--model", tmp_path], ["--model", "no_model"], ["--model", esm, "--window", 9]):
        assert run_cli("embed", "plm", fasta, *words, "-o", tmp_path / "x.h5", "--device", "cpu") == 2
        assert capsys.readouterr().err.splitlines()[-1].startswith("biorrn: error: ")
