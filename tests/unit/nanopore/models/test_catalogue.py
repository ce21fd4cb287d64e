"""Available models: what is found in folders, the list of them, and the choice by the chemistry of the reads."""

import csv
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from safetensors.numpy import save_file

from biorrn.base.errors import ConfigError, InputError
from biorrn.base.files import VARIABLE
from biorrn.config.samples import CALLER
from biorrn.nanopore.basecall.intake import Intake, Survey
from biorrn.nanopore.chemistry import CHEMISTRIES, MAKERS, chemistry_tags
from biorrn.nanopore.models import catalogue
from biorrn.nanopore.models.catalogue import (
    COLUMNS,
    Entry,
    choose_model,
    default_model,
    listing,
    models_at_hand,
    order,
    table,
)
from biorrn.nanopore.simulate.writers import open_signal
from biorrn.nn import store
from biorrn.nn.store import find_model, model_folders, models_in, shipped_models
from biorrn.sequences.records import SignalRecord

R9, R10, RNA = "dna_r9.4.1_e8", "dna_r10.4.1_e8.2_400bps_5khz", "rna004_130bps"


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


def write_model(folder: Path, *chemistry: str, numbers: int = 1000, **facts: object) -> Path:
    """Write a model folder whose facts can be read; its weights are not those of a network."""
    folder.mkdir(parents=True)
    known = {"task": "basecalling", "outputs": 5, "normaliser": "medmad", "stride": 5, "chemistry": chemistry}
    rate = CHEMISTRIES[chemistry[0]].rate if chemistry else 4000
    save_file({"x": np.zeros(numbers, np.float32)}, folder / "weights.safetensors",
              {"biorrn": json.dumps(known | {"sample_rate": rate} | facts)})  # fmt: skip
    (folder / "recipe.yaml").write_text("name: fast\ntask: basecalling\n")
    return folder


def reads_of(folder: Path, *chemistries: str | None, name: str = "reads") -> Path:
    """Write a BLOW5 file with a read of each chemistry; None: one without metadata."""
    folder.mkdir(parents=True)
    for place, chemistry in enumerate(chemistries):
        rate = CHEMISTRIES[chemistry].rate if chemistry else 4000.0
        tags = chemistry_tags(chemistry) if chemistry else {}
        raw = np.random.default_rng(place).integers(400, 700, 3000).astype(np.int16)
        with open_signal(folder / f"{name}{place}.blow5") as write:
            write(SignalRecord(f"{name}{place}", raw, 4.0, 0.18, rate, run_id=f"{name}{place}", run_tags=tags))
    return folder


def survey(tmp_path: Path, *chemistries: str | None) -> Survey:
    return Intake([reads_of(tmp_path / "reads", *chemistries)]).survey()


def test_folders_of_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    write_model(one / "b", R9)
    write_model(one / "a", R10)
    write_model(one / ".hidden", R10)
    (one / "no_model").mkdir()
    write_model(two / "b", RNA)
    assert model_folders() == []
    monkeypatch.setenv(VARIABLE, os.pathsep.join([str(two), str(one), ""]))
    assert model_folders([one]) == [one, two]  # each once, the given ones first
    assert [place.name for place in models_in(one)] == ["a", "b"]
    assert models_in(one / "a") == [one / "a"]
    assert find_model("b") == two / "b"
    assert find_model("b", [one]) == one / "b"
    assert find_model("stability").name == "stability"
    with pytest.raises(ConfigError, match=r"nor in .*two, .*one; did you mean 'dna_r9.4.1_fast'"):
        find_model("dna_r9.4.1_fasst")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(ConfigError, match=r"BIORRN_MODELS: '.*gone' is not a folder"):
        models_at_hand()
    with pytest.raises(ConfigError, match=r"--models-dir: '.*lost' is not a folder"):
        models_at_hand([tmp_path / "lost"])


def test_a_model_that_cannot_be_used_is_listed_with_the_reason(tmp_path: Path) -> None:
    good = write_model(tmp_path / "good", R10)
    bad = write_model(tmp_path / "bad", R10)
    (bad / "weights.safetensors").write_bytes(b"no weights")
    found = {entry.name: entry for entry in models_at_hand([tmp_path])}
    assert sorted(found) == sorted(["good", "bad", *shipped_models()])
    assert found["good"].problem == ""
    assert found["good"].purpose.names == (R10,)
    assert found["bad"].problem.startswith("is not a readable safetensors file")
    rows = {row["model"]: row for row in csv.DictReader(table(found.values()), delimiter="\t")}
    assert list(rows["good"]) == list(COLUMNS)
    assert rows["good"]["chemistry"] == R10
    assert (rows["good"]["sample_rate"], rows["good"]["folder"]) == ("5000", str(good))
    assert rows["bad"]["problem"] == found["bad"].problem
    assert rows["stability"]["unit"] == "log10 EC50"
    callers = models_at_hand([tmp_path], basecalling=True)
    shipped = [name for name in shipped_models() if name.startswith("dna_")]
    assert [entry.name for entry in callers] == ["bad", "good", *shipped]


@pytest.mark.parametrize("width", [60, 100, 160])
def test_lines_for_a_terminal(tmp_path: Path, width: int) -> None:
    write_model(tmp_path / "mine@v1", R10, licence="CC0", measured="mean identity 0.91 on ten reads")
    (write_model(tmp_path / "odd", R10) / "weights.safetensors").write_bytes(b"")
    lines = list(listing(models_at_hand([tmp_path]), width))
    assert max(len(line) for line in lines if line.startswith("  ")) <= width
    assert lines[0] == f"in {tmp_path}"
    assert "shipped with biorrn" in lines
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in ("mine@v1", *shipped_models()))
    assert any(line.startswith("  odd      cannot be used: ") for line in lines)
    if width == 160:
        assert any("5 kHz" in line and "CC0" in line and line.endswith("0.91 on ten reads") for line in lines)


def test_the_validation_score_of_a_run(tmp_path: Path) -> None:
    run = write_model(tmp_path / "run", R9)
    (run / "provenance.json").write_text('{"best": {"metric": "valid_identity", "value": 0.87654}}')
    (entry, *_) = models_at_hand([tmp_path])
    assert entry.facts["measured"] == "valid identity 0.877, of its own validation split"
    (run / "provenance.json").write_text('{"best": 3}')
    assert "measured" not in models_at_hand([tmp_path])[0].facts


def test_folders_of_other_programs_are_listed_by_their_configuration(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "nanopore"
    found = {entry.name: entry for entry in models_at_hand([folder / "models" / "dorado", folder / "model_configs"])}
    real = found["dna_r9.4.1_e8.1_fast@v3.4"]
    assert (real.problem, real.purpose.names, real.purpose.rate) == ("", (R9,), 4000.0)
    assert real.facts["licence"].startswith("Oxford Nanopore Technologies PLC. Public License")
    assert "0.916" in real.facts["measured"]
    assert 2e6 < real.size < 4e6
    hac = found["dna_r10.4.1_e8.2_400bps_hac@v4.3.0"]
    assert hac.problem.startswith("holds no weights; expected are *.tensor (Dorado)")
    assert "transformer" in found["dna_r10.4.1_e8.2_400bps_sup@v5.0.0"].problem
    assert "modified bases" in found["rna004_130bps_sup@v5.0.0_pseU@v1"].problem
    assert find_model("dna_r9.4.1_e8.1_fast@v3.4", [folder / "models" / "dorado"]) == real.folder
    # before the shipped one
    assert choose_model(survey(tmp_path, R9), [folder / "models" / "dorado"]) == real.folder


@pytest.fixture
def two_sizes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ship the default and a larger stand-in, dna_r9.4.1_hac, from a folder that is returned."""
    folder = tmp_path / "pretrained"
    write_model(folder / "dna_r9.4.1_fast", R9)
    write_model(folder / "dna_r9.4.1_hac", R9, numbers=800_000, measured="mean identity 0.93, 300,000 samples/s")
    write_model(folder / "other_hacked")
    monkeypatch.setattr(store, "resources", SimpleNamespace(files=lambda package: folder))
    return folder


@pytest.mark.parametrize("default", ["fast", "hac"])
def test_the_default_and_the_short_names_of_two_sizes(
    tmp_path: Path, two_sizes: Path, monkeypatch: pytest.MonkeyPatch, default: str
) -> None:
    names = {size: f"dna_r9.4.1_{size}" for size in ("fast", "hac")}
    monkeypatch.setattr(catalogue, "CALLER", names[default])
    other = "hac" if default == "fast" else "fast"
    assert store.short_names() == names
    assert all(find_model(size) == two_sizes / name == find_model(name) for size, name in names.items())
    assert store.is_shipped(find_model("hac"))
    assert not store.is_model("hac")  # biorrn train hac is the recipe
    with pytest.raises(ConfigError, match=r"model 'sup' is not a folder nor a shipped model.*dna_r9.4.1_hac"):
        find_model("sup")
    said: list[str] = []
    assert default_model() == choose_model(survey(tmp_path / "reads", R9), (), said.append) == find_model(default)
    assert said == [f"model {names[default]} (default, of 2 for {R9}; the others: {names[other]})"]
    lines = list(listing(models_at_hand(), 160))
    assert f"biorrn basecall: default {names[default]}, --model {other} for another" in lines
    assert any(line.startswith("  dna_r9.4.1_hac ") and "3.2 MB" in line and "0.93" in line for line in lines)


def test_a_copy_of_a_shipped_model_is_the_users(
    tmp_path: Path, two_sizes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.is_shipped(find_model("dna_r9.4.1_hac"))
    write_model(tmp_path / "dna_r9.4.1_hac", R9)
    monkeypatch.chdir(tmp_path)
    assert not store.is_shipped(find_model("dna_r9.4.1_hac"))


def test_a_short_name_gives_way_and_is_never_a_guess(tmp_path: Path, two_sizes: Path) -> None:
    own = write_model(tmp_path / "own" / "hac", R10)
    assert find_model("hac", [tmp_path / "own"]) == own
    write_model(two_sizes / "dna_r10.4.1_hac", R10)
    assert store.short_names() == {"fast": "dna_r9.4.1_fast"}
    with pytest.raises(ConfigError, match="model 'hac' is not a folder"):
        find_model("hac")


def test_the_order_of_models_that_fit(tmp_path: Path) -> None:
    """Folder, then size up to what a CPU can do, then version."""
    sizes = {"sup@v4.3.0": 13_000_000, "fast@v5.0.0": 400_000, "hac@v4.2.0": 6_000_000, "hac@v4.10.0": 6_000_000}
    for name, numbers in sizes.items():  # of 4 bytes
        write_model(tmp_path / "two" / name, R10, numbers=numbers)
    write_model(tmp_path / "one" / "mine", R10)
    entries = models_at_hand([tmp_path / "one", tmp_path / "two"], basecalling=True)[:5]
    names = ["mine", "hac@v4.10.0", "hac@v4.2.0", "fast@v5.0.0", "sup@v4.3.0"]
    assert [entry.name for entry in order(entries)] == names
    assert [entry.name for entry in order(entries, "cuda")] == ["mine", "sup@v4.3.0", *names[1:4]]
    assert order([Entry(tmp_path, "x", problem="no weights")]) == []


def test_the_chemistry_chooses(tmp_path: Path) -> None:
    for name, chemistry in (("dna@v1", R10), ("rna@v1", RNA), ("rna@v2", RNA)):
        write_model(tmp_path / "models" / name, chemistry)
    said: list[str] = []
    models = [tmp_path / "models"]
    assert choose_model(survey(tmp_path / "0", RNA), models, said.append) == models[0] / "rna@v2"
    assert said == [f"model rna@v2 ({models[0]}, of 2 for {RNA}; the others: rna@v1)"]
    assert choose_model(survey(tmp_path / "1", R10), models, said.append) == models[0] / "dna@v1"
    assert choose_model(survey(tmp_path / "2", R9), models, said.append) == default_model()
    assert said[1] == f"model dna@v1 ({models[0]})"
    assert said[2].startswith(f"model {CALLER} (default")
    # what says nothing goes with what does, and alone to the shipped model
    assert choose_model(survey(tmp_path / "3", None, RNA), models) == models[0] / "rna@v2"
    assert choose_model(survey(tmp_path / "4", None, None), models) == default_model()
    assert choose_model(survey(tmp_path / "5"), models) == default_model()


def test_a_model_without_a_chemistry_is_not_chosen(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "plain")
    assert choose_model(survey(tmp_path, R9), [tmp_path / "models"]) == default_model()


def test_a_model_for_all_chemistries_of_the_reads(tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "both", R9, RNA)
    assert choose_model(survey(tmp_path, R9, RNA), [tmp_path / "models"]).name == "both"


@pytest.mark.parametrize("chemistry", [name for name in CHEMISTRIES if name != R9])
def test_what_no_model_fits_is_refused_with_the_makers_models(tmp_path: Path, chemistry: str) -> None:
    found = survey(tmp_path, chemistry)
    with pytest.raises(InputError) as caught:
        choose_model(found)
    line = str(caught.value)
    assert "\n" not in line
    assert f"reads0.blow5: found chemistry {chemistry} (flow cell FLO-" in line
    assert "no available model is for it" in line
    for name in MAKERS.get(chemistry, ()):
        assert name in line
        assert f"{VARIABLE} or --models-dir names FOLDER" in line
    said: list[str] = []
    assert choose_model(found, say=said.append, force=True) == default_model()
    assert said == [f"model {CALLER} (default)"]


def test_several_chemistries_are_refused_with_the_way_to_call_each(tmp_path: Path) -> None:
    found = survey(tmp_path, R9, R10, R9, None)
    with pytest.raises(InputError) as caught:
        choose_model(found)
    assert str(caught.value).endswith(
        f"reads0.blow5: the files hold reads of several chemistries ({R9} 2, {R10} 1, unknown 1), and no "
        f"available model is for all; call each by itself: --chemistry {R9} (model {CALLER}); "
        f"no model is available for {R10}; then biorrn merge"
    )
    assert choose_model(found, force=True) == default_model()


def test_contradictory_metadata_fit_no_model(tmp_path: Path) -> None:
    tags = {"flow_cell_product_code": "FLO-MIN106", "sequencing_kit": "SQK-LSK114"}
    with open_signal(tmp_path / "a.blow5") as write:
        write(SignalRecord("r", np.zeros(100, np.int16), 4.0, 0.18, 4000.0, run_tags=tags))
    with pytest.raises(InputError, match=r"found contradictory metadata \(.*\); no available model is for it\. Name"):
        choose_model(Intake([tmp_path]).survey())


def test_reads_of_one_chemistry_are_selected(tmp_path: Path) -> None:
    folder = reads_of(tmp_path / "reads", R9, RNA, None, R9)

    def ids(chemistry: str) -> list[str]:
        intake = Intake([folder], chemistry=chemistry)
        found = [record.read_id for record in intake.reads(lambda problem: None)]
        assert len(found) + intake.others == 4
        return found

    assert ids(R9) == ["reads0", "reads3"]
    assert ids(RNA) == ["reads1"]
    assert ids("unknown") == ["reads2"]
    intake = Intake([folder], limit=1, chemistry=RNA)  # the file of the read is not the first
    assert intake.survey().chemistries() == {RNA: 1}
    assert len(list(intake.reads(lambda problem: None))) == 1
    with pytest.raises(ConfigError, match=f"--chemistry {R10}: no read is of it; the files are of {R9} 2"):
        Intake([folder], chemistry=R10).survey()
    with pytest.raises(ConfigError, match=f"--chemistry 'rna04' is unknown; did you mean '{RNA}'"):
        Intake([folder], chemistry="rna04")


def test_reads_selected_by_id_choose_by_the_first_of_them(tmp_path: Path) -> None:
    folder = reads_of(tmp_path / "reads", RNA, R9)
    write_model(tmp_path / "models" / "rna", RNA)
    models = [tmp_path / "models"]
    assert choose_model(Intake([folder], {"reads1"}).survey(), models) == default_model()
    assert choose_model(Intake([folder], {"reads0"}).survey(), models).name == "rna"
    with pytest.raises(InputError, match="of several chemistries"):
        choose_model(Intake([folder], {"gone"}).survey(), models)


def test_the_real_reads_of_each_chemistry(tmp_path: Path, shared_data: Path) -> None:
    """The names of the files say their chemistry, in the words of `CHEMISTRIES`; one file can be called as shipped."""
    for name in ("dna_r10.4.1_e8.2_260bps", "dna_r10.4.1_e8.2_400bps_4khz", R10, "rna002_70bps", RNA):
        write_model(tmp_path / name, name)
    files = [file for file in (shared_data / "nanopore" / "chemistry").glob("*.pod5") if "-" in file.stem]
    files = [file for file in files if file.name.split("-")[0] in CHEMISTRIES]
    assert len(files) > 10
    for file in files:
        truth = file.name.split("-")[0]
        chosen = choose_model(Survey([file]), [tmp_path])
        assert chosen.name == (CALLER if truth == R9 else truth)
    with pytest.raises(InputError, match="of several chemistries"):
        choose_model(Survey(sorted(files)), [tmp_path])
