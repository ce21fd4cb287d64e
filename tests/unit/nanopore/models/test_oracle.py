"""Imported models give the scores and bases of independent networks, for every configuration of the maker at hand."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError
from biorrn.kernels.lstm.layers import FLOAT, kinds
from biorrn.nanopore.alignment import AlignmentMapper
from biorrn.nanopore.basecall.caller import Caller
from biorrn.nanopore.basecall.engine import TOLERANCE, FastEngine, difference
from biorrn.nanopore.evaluate.identity import score_reads
from biorrn.nanopore.models.exports import export
from biorrn.nanopore.readers.calls import BaseCall
from biorrn.nanopore.readers.files import read_all
from biorrn.nn.store import Stored, load_model
from biorrn.sequences.records import SignalRecord

KINDS = ("dorado", "bonito")
# folders of the shared data whose network is one of convolutions, LSTM layers and a CRF
USABLE = (
    "dna_r10.4.1_e8.2_260bps_fast@v4.0.0",
    "dna_r10.4.1_e8.2_400bps_hac@v4.2.0",
    "dna_r10.4.1_e8.2_400bps_hac@v4.3.0",
    "dna_r10.4.1_e8.2_400bps_hac@v4.3.0_quantile",
    "dna_r9.4.1_e8_hac@v3.3",
    "rna002_70bps_fast@v3",
    "rna004_130bps_sup@v3.0.1",
    "sample_type_130bps_sup@v3.0.1",
)
REFUSED = {
    "dna_r10.4.1_e8.2_260bps_sup@v4.0.0_5mCG_5hmCG@v2": "conv_lstm",
    "dna_r10.4.1_e8.2_400bps_hac@v5.0.0_5mCG_5hmCG@v3": "conv_lstm_v2",
    "dna_r10.4.1_e8.2_400bps_sup@v5.0.0": "transformer",
    "dna_r10.4.1_e8.2_400bps_sup@v5.0.0_6mA@v3": "conv_lstm_v2",
    "dna_r10.4.1_e8.2_400bps_sup@v5.0.0_6mA@v4": "conv_lstm_v3",
    "dna_r9.4.1_e8_sup@v3.3_5mCG@v0.1": "conv_only",
    "rna004_130bps_sup@v5.0.0_pseU@v1": "conv_lstm",
    "rna004_130bps_sup@v5.0.1_pseU@v1": "conv_lstm",
    "sample_type_d_e8.2_400bps_sup@v5.0.0": "transformer",
}  # folder -> a word of the line that refuses it


@pytest.fixture(scope="session")
def configs(shared_data: Path) -> Path:
    return shared_data / "nanopore" / "model_configs"


@pytest.fixture(scope="module")
def maker(oracle: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function of a folder's name and configuration: an independent network, and its imported folders."""

    def make(name: str, text: str) -> tuple[Any, dict[str, Stored]]:
        network, root = oracle.Network(text), tmp_path_factory.mktemp("maker")
        folders = {kind: oracle.WRITERS[kind](network, root / kind / name) for kind in KINDS}
        return network, {kind: load_model(folder) for kind, folder in folders.items()}

    return make


def samples(count: int, seed: int = 0) -> np.ndarray:
    """Normalised signal of levels and noise, float32 (T,)."""
    rng = np.random.default_rng(seed)
    return (np.repeat(rng.normal(size=count // 9 + 1), 9)[:count] + rng.normal(0, 0.2, count)).astype(np.float32)


def of_torch(stored: Stored, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        x, lengths = torch.from_numpy(signal)[None, :, None], torch.tensor([len(signal)])
        return stored.model(x, lengths)[0][0].numpy()


def of_engine(engine: FastEngine, signal: np.ndarray) -> np.ndarray:
    found = np.empty((-(-len(signal) // engine.stride), engine.symbols), np.float32)
    engine.score(signal[None], np.array([len(signal)]), [[(0, len(found), found)]])
    return found


def check_scores(network: Any, imported: dict[str, Stored], signal: np.ndarray) -> None:
    """Compare the scores of an imported folder of each kind with those of the network, by torch and by the kernels."""
    expected = network.columns(signal)
    moves = expected[:, 4**network.state_len :]
    assert moves.std(0).mean() > 0.2  # the scores depend on the signal
    for name, stored in imported.items():
        assert stored.facts["stride"] == network.stride
        np.testing.assert_allclose(of_torch(stored, signal), expected, rtol=0, atol=1e-4, err_msg=name)
    stored = imported["dorado"]
    for kind in kinds():
        engine = FastEngine(stored.recipe.network, stored.tensors, kind)
        found = of_engine(engine, signal)
        if kind == FLOAT:
            np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4)
        elif difference(engine, stored) <= TOLERANCE[kind]:  # else basecall does not choose it: random weights are hard
            apart = np.sqrt(np.mean((found - expected) ** 2) / expected.var(axis=0).mean())
            # random recurrent weights carry rounding along a longer signal; a wrongly packed layer differs by about 1
            assert apart <= 3 * TOLERANCE[kind], kind


def test_every_configuration_is_used_or_refused(configs: Path) -> None:
    assert sorted([*USABLE, *REFUSED]) == sorted(path.name for path in configs.iterdir())


@pytest.mark.parametrize("name", USABLE)
def test_scores_of_the_maker_s_configurations(name: str, configs: Path, maker: Any) -> None:
    """At full width, with random weights; batch norm is folded in one kind of folder and apart in the other."""
    text = (configs / name / "config.toml").read_text()
    network, imported = maker(name, text)
    check_scores(network, imported, samples(331 if "sup" in name else 1003))


@pytest.mark.parametrize("seed", range(2))
def test_scores_of_every_generation(seed: int, oracle: ModuleType, maker: Any) -> None:
    for name, text in oracle.GENERATIONS.items():
        network, imported = maker(name, text)
        for count in (1, 17, 400, 601):
            expected = network.columns(samples(count, seed))
            for stored in imported.values():
                np.testing.assert_allclose(of_torch(stored, samples(count, seed)), expected, rtol=0, atol=1e-4)
        check_scores(network, imported, samples(700, seed))


def test_names_in_a_state_dictionary_do_not_matter_and_the_last_one_counts(oracle: ModuleType, tmp_path: Path) -> None:
    text = oracle.GENERATIONS["dna_r10.4.1_e8.2_400bps_hac@v4.2.0"]
    old, new = oracle.Network(text, seed=1), oracle.Network(text, seed=2)
    folder = oracle.write_bonito(old, tmp_path / "dna_r10.4.1_e8.2_400bps_hac@v4.2.0", 9)
    state = {f"module.{name}": tensor for name, tensor in new.state_dict().items()}
    torch.save(state, folder / "weights_10.tar")
    signal = samples(300)
    np.testing.assert_allclose(of_torch(load_model(folder), signal), new.columns(signal), rtol=0, atol=1e-4)


# --- signal to bases ---


def record(count: int, rate: float, seed: int = 0) -> SignalRecord:
    rng = np.random.default_rng(seed)
    raw = np.repeat(rng.normal(520, 80, count // 8 + 1), 8)[:count] + rng.normal(0, 12, count)
    return SignalRecord("r", raw.astype(np.int16), 10.0, 0.18, rate)


@pytest.mark.parametrize("place", range(7))
def test_a_whole_read_is_normalised_and_scored_as_the_maker_does(place: int, oracle: ModuleType, maker: Any) -> None:
    name, text = list(oracle.GENERATIONS.items())[place]
    network, imported = maker(name, text)
    for kind, stored in imported.items():
        read = record(900, stored.facts["sample_rate"])
        found = Caller(stored, engine="torch").score(read)
        assert found.trimmed == 0
        current = read.picoamperes()
        shift, scale = oracle.shift_and_scale(network.config, name, current)
        signal = ((current - shift) / scale).astype(np.float32)
        assert np.abs(signal).max() < 5  # biorrn cuts off spikes beyond
        np.testing.assert_allclose(found.scores, network.columns(signal), rtol=0, atol=1e-4, err_msg=kind)


def test_real_configurations_normalise_as_they_say(oracle: ModuleType, configs: Path, maker: Any) -> None:
    for name in USABLE:
        text = (configs / name / "config.toml").read_text()
        text = re.sub(r"\b(96|384|768)\b", "24", text)
        network, imported = maker(name, re.sub(r"state_len = \d", "state_len = 1", text))
        for stored in imported.values():
            rate = stored.facts["sample_rate"]
            assert rate == network.config.get("run_info", {}).get("sample_rate", rate)
            read = record(800, rate)
            shift, scale = oracle.shift_and_scale(network.config, name, read.picoamperes())
            expected = network.columns(((read.picoamperes() - shift) / scale).astype(np.float32))
            np.testing.assert_allclose(Caller(stored, engine="torch").score(read).scores, expected, rtol=0, atol=1e-4)


def small(oracle: ModuleType) -> Iterator[tuple[str, str]]:
    """Yield names and configurations of few states, of which all paths can be enumerated."""
    rna = oracle.GENERATIONS["rna002_70bps_fast@v3"].partition("[run_info]")[2]
    for state_len in (1, 2):
        yield "dna_r9.4.1_e8_fast@v3.4", oracle.flat(12, state_len)
        yield "dna_r10.4.1_e8.2_400bps_hac@v4.3.0", oracle.serial(12, state_len, last="tanh")
        yield "dna_r10.4.1_e8.2_400bps_hac@v4.2.0", oracle.serial(12, state_len, clamped=True, between=9)
        yield "rna002_70bps_fast@v3", oracle.flat(12, state_len, more=f"[run_info]{rna}")


def test_bases_are_those_of_the_best_of_all_paths(oracle: ModuleType, maker: Any) -> None:
    called, reads = 0, 0
    for number, (name, text) in enumerate(small(oracle)):
        network, imported = maker(name, text)
        frames = 7 if network.state_len == 1 else 6
        for seed in range(4):
            read = record(frames * network.stride, imported["dorado"].facts["sample_rate"], seed + 10 * number)
            shift, scale = oracle.shift_and_scale(network.config, name, read.picoamperes())
            scores = network(torch.from_numpy(((read.picoamperes() - shift) / scale).astype(np.float32))).numpy()
            expected = oracle.most_probable_path(scores, network.state_len)
            expected = expected[::-1] if name.startswith("rna") else expected
            for kind in KINDS:
                found = [call.bases for call in Caller(imported[kind], engine="torch", decoder="greedy").calls([read])]
                assert "".join(found) == expected, (name, network.state_len, seed, kind)
            called, reads = called + len(expected), reads + 1
    assert called > 2 * reads


# --- what cannot be read ---


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", REFUSED)
def test_other_networks_are_refused_in_one_line(
    name: str, kind: str, configs: Path, oracle: ModuleType, tmp_path: Path
) -> None:
    folder = oracle.WRITERS[kind](oracle.Network(oracle.flat()), tmp_path / name)
    (folder / "config.toml").write_text((configs / name / "config.toml").read_text())
    with pytest.raises(BiorrnError, match=re.escape(str(folder))) as caught:
        load_model(folder)
    assert REFUSED[name] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_of_another_configuration_are_refused(kind: str, oracle: ModuleType, tmp_path: Path) -> None:
    for number, (mine, other) in enumerate(
        [
            (oracle.flat(24), oracle.flat(32)),
            (oracle.flat(24, 2), oracle.flat(24, 3)),
            (oracle.serial(between=16), oracle.serial()),
            (oracle.serial(), oracle.flat()),
        ]
    ):
        folder = oracle.WRITERS[kind](oracle.Network(mine), tmp_path / str(number) / "dna_r10.4.1_e8.2_260bps_x")
        (folder / "config.toml").write_text(other)
        with pytest.raises(BiorrnError, match=re.escape(str(folder))) as caught:
            load_model(folder)
        assert "\n" not in str(caught.value)


# --- exported again ---


@pytest.mark.parametrize("kind", KINDS)
def test_imported_models_are_exported_to_both_kinds(kind: str, oracle: ModuleType, maker: Any, tmp_path: Path) -> None:
    """What was read from one kind of folder is written as the other, with batch norm folded, and read independently."""
    for number, (name, text) in enumerate(oracle.GENERATIONS.items()):
        network, imported = maker(name, text)
        for source, stored in imported.items():
            folder = tmp_path / str(number) / source / name
            export(stored, folder, kind)
            again, signal = oracle.read(folder), samples(500)
            np.testing.assert_allclose(again.columns(signal), network.columns(signal), rtol=0, atol=1e-4)
            current = 90 + 14 * samples(3000)
            assert oracle.shift_and_scale(again.config, name, current) == pytest.approx(
                oracle.shift_and_scale(network.config, name, current)
            )
            assert again.config["qscore"] == network.config.get("qscore", {"scale": 1.0, "bias": 0.0})
            back = load_model(folder)
            assert {**back.facts, "stride": 0} == {**stored.facts, "stride": 0}


# --- real folders ---


def test_real_weights_read_lambda(oracle: ModuleType, shared_data: Path) -> None:
    """A real Dorado folder: an independent 60-line script reads these eight reads at 0.903."""
    data = shared_data / "nanopore"
    folder = data / "models" / "dorado" / "dna_r9.4.1_e8.1_fast@v3.4"
    stored, network = load_model(folder), oracle.read(folder)
    signal = samples(1500)
    np.testing.assert_allclose(of_torch(stored, signal), network.columns(signal), rtol=0, atol=1e-4)
    paths = sorted((data / "lambda_r941" / "fast5").glob("*.fast5"))[:8]
    mapper = AlignmentMapper(data / "lambda_r941" / "reference.fasta")
    calls = Caller(stored, threads=2).calls(read_all(paths, lambda problem: None))
    found = score_reads((BaseCall(call.read_id, call.bases, call.quals) for call in calls), mapper.align).reads
    assert len(found) == 8
    assert np.mean([read.identity for read in found]) > 0.900
