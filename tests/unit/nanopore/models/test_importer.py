"""Import of folders of Dorado and Bonito: scores, facts, and the one line where a folder does not fit."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from biorrn.base.errors import BiorrnError, InputError
from biorrn.nanopore.basecall.caller import basecall
from biorrn.nanopore.chemistry import CHEMISTRIES, chemistry_tags
from biorrn.nanopore.models.exports import toml
from biorrn.nanopore.models.importer import import_model, read_facts, read_model
from biorrn.nn.store import Stored, load_facts, load_model
from biorrn.sequences.records import SignalRecord

RUN = {"run_info": {"sample_rate": 4000}}
Writer = Callable[[dict[str, Any], str, str], Path]


@pytest.fixture
def written(oracle: ModuleType, tmp_path: Path) -> Writer:
    """Return a function that writes a folder with random weights: of a configuration, a name and a kind."""

    def write(config: dict[str, Any], name: str = "some_model", kind: str = "dorado") -> Path:
        made: Path = oracle.WRITERS[kind](oracle.Network(toml(config)), tmp_path / name)
        return made

    return write


def scores(model: Stored, signal: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        found = model.model(torch.from_numpy(signal)[None, :, None], torch.tensor([len(signal)]))[0]
    return np.asarray(found[0])


@pytest.mark.parametrize("kind", ["dorado", "bonito"])
@pytest.mark.parametrize("generation", ["flat", "serial"])
def test_scores_are_those_of_an_independent_network(
    generation: str, kind: str, written: Writer, oracle: ModuleType, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    config = request.getfixturevalue(generation) | RUN
    folder = written(config, "some_model", kind)
    model = load_model(folder)
    signal = np.random.default_rng(0).normal(size=500).astype(np.float32)
    expected = oracle.Network(toml(config)).columns(signal)
    np.testing.assert_allclose(scores(model, signal), expected, atol=1e-5)
    import_model(folder, tmp_path / "imported")
    again = load_model(tmp_path / "imported")
    np.testing.assert_array_equal(scores(again, signal), scores(model, signal))
    assert again.facts == model.facts
    assert again.recipe == model.recipe


def test_learned_scores_of_staying_come_first(flat: dict[str, Any], tmp_path: Path) -> None:
    """In the file a state has its five scores side by side; here each kind of score is a plane."""
    del flat["encoder"]["blank_score"]
    flat["encoder"] |= {"num_layers": 1}
    flat["global_norm"]["state_len"] = 1
    (tmp_path / "config.toml").write_text(toml(flat | RUN))
    shapes = {"a": (4, 1, 5), "b": (4,), "c": (16, 4, 5), "d": (16,), "e": (8, 16, 19), "f": (8,), "g": (32, 8),
              "h": (32, 8), "i": (32,), "j": (32,), "k": (20, 8), "l": (20,)}  # fmt: skip
    tensors = {name: torch.zeros(shape) for name, shape in shapes.items()}
    tensors["l"] = torch.arange(20.0) / 20
    torch.save(tensors, tmp_path / "weights_1.tar")
    recipe, _, arrays = read_model(tmp_path)
    assert recipe.network.head.blank is None  # type: ignore[union-attr]
    assert (20 * arrays["head.output.1.bias"]).round().tolist() == [5 * j + k for k in range(5) for j in range(4)]


def test_of_several_checkpoints_the_last_counts(flat: dict[str, Any], written: Writer) -> None:
    folder = written(flat | RUN, "some_model", "bonito")
    state = torch.load(folder / "weights_1.tar", weights_only=True)
    torch.save({name: tensor * 0 for name, tensor in state.items()}, folder / "weights_10.tar")
    torch.save({name: tensor * 2 for name, tensor in state.items()}, folder / "weights_9.tar")
    assert not any(array.any() for array in read_model(folder)[2].values())


def test_names_in_a_checkpoint_do_not_matter(flat: dict[str, Any], written: Writer) -> None:
    folder = written(flat | RUN, "some_model", "bonito")
    before = read_model(folder)[2]
    state = torch.load(folder / "weights_1.tar", weights_only=True)
    torch.save({f"module.{number}": tensor for number, tensor in enumerate(state.values())}, folder / "weights_1.tar")
    after = read_model(folder)[2]
    assert all((after[name] == array).all() for name, array in before.items())


def record(chemistry: str, samples: int = 4000) -> SignalRecord:
    rng = np.random.default_rng(0)
    raw = (np.repeat(rng.normal(500, 90, samples // 10), 10) + rng.normal(0, 15, samples)).astype(np.int16)
    rate = float(CHEMISTRIES[chemistry].rate)
    return SignalRecord("r", raw, 10.0, 0.18, rate, run_tags=chemistry_tags(chemistry))


@pytest.mark.parametrize("kind", ["dorado", "bonito"])
@pytest.mark.parametrize(
    ("name", "generation", "chemistry"),
    [
        ("dna_r9.4.1_e8_fast@v3.4", "flat", "dna_r9.4.1_e8"),
        ("dna_r10.4.1_e8.2_400bps_fast@v4.0.0", "serial", "dna_r10.4.1_e8.2_400bps_4khz"),
        ("dna_r10.4.1_e8.2_400bps_fast@v5.0.0", "serial", "dna_r10.4.1_e8.2_400bps_5khz"),
        ("rna002_70bps_fast@v3", "flat", "rna002_70bps"),
        ("rna004_130bps_fast@v5.0.0", "serial", "rna004_130bps"),
    ],
)
def test_reads_of_each_chemistry_are_called(
    name: str, generation: str, chemistry: str, kind: str, written: Writer, request: pytest.FixtureRequest
) -> None:
    model = load_model(written(request.getfixturevalue(generation), name, kind))
    (called,) = basecall(model, [record(chemistry)])
    assert set(called.bases) <= set("ACGT")
    assert len(called.bases) == len(called.quals) == called.moves.sum()
    skipped: list[str] = []
    other = "dna_r9.4.1_e8" if chemistry != "dna_r9.4.1_e8" else "rna004_130bps"
    assert not list(basecall(model, [record(other)], on_skip=lambda read, samples, reason: skipped.append(reason)))
    assert "where the model is for" in skipped[0]


# -- facts -----------------------------------------------------------------------------------------------------------

QUANTILES = {"normalisation": {"quantile_a": 0.2, "quantile_b": 0.8, "shift_multiplier": 0.48,
                               "scale_multiplier": 0.59}}  # fmt: skip
PICOAMPERES = {"scaling": {"strategy": "pa"}, "standardisation": {"standardise": 1, "mean": 91.88, "stdev": 22.65}}


@pytest.mark.parametrize(
    ("name", "more", "expected"),
    [
        ("dna_r9.4.1_e8.1_fast@v3.4", {},
         {"normaliser": "medmad", "sample_rate": 4000, "chemistry": ["dna_r9.4.1_e8"]}),
        ("dna_r10.4.1_e8.2_400bps_hac@v4.1.0", {}, {"chemistry": ["dna_r10.4.1_e8.2_400bps_4khz"]}),
        ("dna_r10.4.1_e8.2_400bps_hac@v4.2.0", {},
         {"normaliser": "quantile_sum(0.2, 0.9, 0.51, 0.53)", "sample_rate": 5000,
          "chemistry": ["dna_r10.4.1_e8.2_400bps_5khz"]}),
        ("dna_r10.4.1_e8.2_400bps_hac@v5.0.0", PICOAMPERES, {"normaliser": "picoampere(91.88, 22.65)"}),
        ("dna_r10.4.1_e8.2_260bps_fast@v4.0.0", {}, {"sample_rate": 4000, "chemistry": ["dna_r10.4.1_e8.2_260bps"]}),
        ("rna002_70bps_fast@v3", QUANTILES,
         {"normaliser": "quantile_sum(0.2, 0.8, 0.48, 0.59)", "sample_rate": 3000, "reversed": True,
          "chemistry": ["rna002_70bps"]}),
        ("rna004_130bps_hac@v5.0.0", {}, {"reversed": True, "chemistry": ["rna004_130bps"]}),
        ("mine", {"run_info": {"sample_rate": 4000, "sample_type": "rna004"}}, {"reversed": True}),
        ("mine", RUN, {"sample_rate": 4000, "licence": "not stated in the folder; ask whoever made it"}),
        ("mine", RUN | {"qscore": {"scale": 0.9, "bias": -0.5}},
         {"qscore": {"scale": 0.9, "bias": -0.5, "own": 1, "power": 0.4}}),
        ("mine", RUN | {"basecaller": {"chunksize": 4004, "overlap": 499, "batchsize": 32, "quantize": False}},
         {"calling": {"samples": 4000, "overlap": 490}}),
    ],
)  # fmt: skip
def test_facts_follow_name_and_keys(
    name: str, more: dict[str, Any], expected: dict[str, Any], flat: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    (folder / "config.toml").write_text(toml(flat | more))
    facts = read_facts(folder)
    assert {key: facts.get(key) for key in expected} == expected
    assert load_facts(folder)["origin"] == name
    if name != "mine":
        assert "Oxford Nanopore Technologies" in facts["licence"]
        assert ("reversed" in facts) == name.startswith("rna")


def test_a_licence_beside_the_weights_is_named(flat: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(toml(flat | RUN))
    (tmp_path / "LICENSE").write_text("\nMIT License\n\nCopyright\n")
    assert read_facts(tmp_path)["licence"] == "MIT License"


def test_loading_names_the_licence(flat: dict[str, Any], written: Writer, capsys: pytest.CaptureFixture[str]) -> None:
    load_model(written(flat, "dna_r9.4.1_e8_fast@v3.4"))
    assert "fast@v3.4: licence of the weights: Oxford Nanopore Technologies PLC." in capsys.readouterr().err


WRONG: list[tuple[dict[str, Any], str]] = [
    ({}, "states no sample rate"),
    ({"general": {"model": "conv_lstm"}}, r"is a model of modified bases \(general.model = 'conv_lstm'\)"),
    ({"model": {"package": "bonito.transformer"}}, "found 'bonito.transformer'; allowed is bonito.crf or bonito.ctc"),
    (RUN | {"scaling": {"strategy": "mean"}}, "scaling.strategy': found 'mean'; allowed is pa or quantile or med_mad"),
    (RUN | {"scaling": {"strategy": "pa"}}, "standardisation.standardise': found false"),
    (RUN | {"standardisation": {"standardise": 1, "mean": 1.0, "stdev": 1.0}}, "it needs scaling.strategy pa"),
    (RUN | {"normalisation": {"quantile_c": 0.2}}, "key 'normalisation.quantile_c' is unknown"),
    (RUN | {"qscore": {"scale": "x", "bias": 0.0}}, "qscore.scale': found 'x'; allowed is a number"),
    (RUN | {"basecaller": {"chunksize": 0}}, "chunksize': found 0; allowed is a whole number from 1"),
    (RUN | {"biorrn": {"facts": "{"}}, "facts': is not JSON"),
    ({"run_info": {"sample_rate": -1}}, "run_info.sample_rate': found -1; allowed is a number of Hz"),
]


def test_chunks_share_at_most_half(flat: dict[str, Any], tmp_path: Path) -> None:
    for samples, overlap in ((12_000, 60_000), (12_000, 11_000), (5, 500)):
        basecaller = {"chunksize": samples, "overlap": overlap}
        (tmp_path / "config.toml").write_text(toml(flat | RUN | {"basecaller": basecaller}))
        calling = read_facts(tmp_path)["calling"]
        assert calling["samples"] == samples
        assert calling["overlap"] == samples // 20 * 10


@pytest.mark.parametrize("kind", [[], {}, 3])
def test_the_type_of_a_layer_is_a_name(kind: Any, serial: dict[str, Any], tmp_path: Path) -> None:
    serial["encoder"]["sublayers"][2]["type"] = kind
    (tmp_path / "config.toml").write_text(toml(serial | RUN))
    with pytest.raises(InputError, match=r"layer 'encoder\.sublayers\[2\]' is of type .* which is not supported"):
        read_facts(tmp_path)


@pytest.mark.parametrize(("more", "message"), WRONG)
def test_a_configuration_that_is_not_supported_is_one_line(
    more: dict[str, Any], message: str, flat: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "config.toml").write_text(toml(flat | more))
    with pytest.raises(InputError, match=rf"config\.toml: .*{message}"):
        read_facts(tmp_path)


# -- weights that do not fit -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dorado", "bonito"])
def test_weights_of_another_network_are_one_line(kind: str, flat: dict[str, Any], written: Writer) -> None:
    folder = written(flat | RUN, "some_model", kind)
    flat["encoder"]["features"] = 9
    (folder / "config.toml").write_text(toml(flat | RUN))
    with pytest.raises(InputError, match=r"has shape \(8, 16, 19\); its config\.toml asks for \(9, 16, 19\)"):
        load_model(folder)


def test_a_network_too_large_is_refused_before_weights_are_read(flat: dict[str, Any], written: Writer) -> None:
    folder = written(flat | RUN)
    flat["encoder"]["features"] = 8192
    (folder / "config.toml").write_text(toml(flat | RUN))
    with pytest.raises(InputError, match=r"config\.toml: asks for [\d,]+ weights; allowed are at most"):
        load_model(folder)


def test_missing_and_unexpected_tensors_are_named(flat: dict[str, Any], written: Writer) -> None:
    folder = written(flat | RUN)
    (folder / "5.rnn.bias_hh_l0.tensor").rename(folder / "5.rnn.bias_hh_l1.tensor")
    with pytest.raises(InputError, match=r"tensor '5\.rnn\.bias_hh_l1' is unexpected .* is it '5\.rnn\.bias_hh_l0'"):
        load_model(folder)
    (folder / "5.rnn.bias_hh_l1.tensor").unlink()
    with pytest.raises(
        InputError, match=r"tensor '5\.rnn\.bias_hh_l0' is missing; its config\.toml asks for \(32,\)|shape"
    ):
        load_model(folder)
    for path in folder.glob("*.tensor"):
        path.unlink()
    with pytest.raises(InputError, match="holds no weights; expected are"):
        load_model(folder)


@pytest.mark.parametrize(("value", "message"), [(torch.nan, "holds a NaN"), (torch.inf, "holds a NaN or infinity")])
def test_numbers_that_are_none_are_refused(
    value: float, message: str, flat: dict[str, Any], written: Writer, oracle: ModuleType
) -> None:
    folder = written(flat | RUN)
    oracle.write_tensor(folder / "0.conv.bias.tensor", torch.full((4,), value))
    with pytest.raises(InputError, match=message):
        load_model(folder)


def test_an_output_that_holds_files_is_left_alone(flat: dict[str, Any], written: Writer, tmp_path: Path) -> None:
    folder = written(flat | RUN)
    with pytest.raises(BiorrnError, match="holds files; allowed is a new or an empty folder"):
        import_model(folder, folder)
    with pytest.raises(InputError, match=r"is not a model folder of Dorado or Bonito: config\.toml is missing"):
        import_model(tmp_path / "none", tmp_path / "out")


# -- real folders ----------------------------------------------------------------------------------------------------


@pytest.fixture
def real(shared_data: Path) -> Path:
    return shared_data / "nanopore" / "models"


def test_real_folders_of_bonito_do_not_fit_their_configuration(real: Path, tmp_path: Path) -> None:
    """Their config.toml is of another network. The names and shapes of the weights tell the right one."""
    for folder in sorted((real / "bonito").glob("TINY*")):
        with pytest.raises(InputError, match=r"asks for \(344, 1, 9\) at 0\.conv\.0\.conv\.weight; .* --from-weights"):
            load_model(folder)
        import_model(folder, tmp_path / folder.name, from_weights=True)
        model = load_model(tmp_path / folder.name)
        assert model.facts["licence"] == "MIT License"
        assert model.facts["stride"] == 3
        assert len(model.recipe.network.frontend.blocks) == 18  # type: ignore[union-attr]


def test_configurations_of_the_maker_are_read_or_named(shared_data: Path) -> None:
    found = {}
    for folder in sorted((shared_data / "nanopore" / "model_configs").iterdir()):
        try:
            found[folder.name] = read_facts(folder)["normaliser"].partition("(")[0]
        except InputError as error:
            found[folder.name] = "modified" if "modified bases" in str(error) else error.problem.split(",")[0]
    layer = "layer 'model.encoder.transformer_encoder' is of type 'stack'"
    assert {name: kind for name, kind in found.items() if kind != "modified"} == {
        "dna_r10.4.1_e8.2_260bps_fast@v4.0.0": "quantile_sum",
        "dna_r10.4.1_e8.2_400bps_hac@v4.2.0": "quantile_sum",
        "dna_r10.4.1_e8.2_400bps_hac@v4.3.0": "picoampere",
        "dna_r10.4.1_e8.2_400bps_hac@v4.3.0_quantile": "quantile_sum",
        "dna_r10.4.1_e8.2_400bps_sup@v5.0.0": layer,
        "dna_r9.4.1_e8_hac@v3.3": "medmad",
        "rna002_70bps_fast@v3": "quantile_sum",
        "rna004_130bps_sup@v3.0.1": "quantile_sum",
        "sample_type_130bps_sup@v3.0.1": "quantile_sum",
        "sample_type_d_e8.2_400bps_sup@v5.0.0": layer,
    }
    assert sum(kind == "modified" for kind in found.values()) == len(found) - 10


def test_the_real_dorado_folder_is_its_archives(real: Path) -> None:
    folder = real / "dorado" / "dna_r9.4.1_e8.1_fast@v3.4"
    model = load_model(folder)
    assert model.recipe.network.core.hidden == 128  # type: ignore[union-attr]
    for layer in range(5):
        for name in ("weight_ih_l0", "bias_hh_l0"):
            (stored,) = torch.jit.load(str(folder / f"{4 + layer}.rnn.{name}.tensor")).parameters()
            assert (model.tensors[f"core.layers.{layer}.cells.0.{name}"] == stored.detach().numpy()).all()
