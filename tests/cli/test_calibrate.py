"""`biorrn evaluate calibrate`: what it changes in a model, and what it refuses."""

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from biorrn.config.recipe import change_recipe, dump_recipe, load_recipe
from biorrn.nanopore.basecall.quality import calibration_of

Run = Callable[..., tuple[int, str, str]]
FEW = ("--decoder", "greedy", "--max-reads", 8, "--threads", 1)


@pytest.fixture
def biorrn(biorrn: Run) -> Run:
    """Return a function that runs `biorrn evaluate calibrate` and returns its exit code, stdout and stderr."""
    return partial(biorrn, "calibrate")


@pytest.fixture
def shipped() -> str:
    """Return the id of a shipped basecaller: of the simulated reads it calls enough right to map and enough wrong."""
    from biorrn.nn.store import RECIPE, find_model, shipped_models

    known = [name for name in shipped_models() if load_recipe(find_model(name) / RECIPE).task == "basecalling"]
    if not known:
        pytest.skip("no basecaller is shipped")
    return known[0]


@pytest.fixture
def model(shipped: str, tmp_path: Path) -> Path:
    from biorrn.nn.store import find_model, update_facts

    folder = Path(shutil.copytree(find_model(shipped), tmp_path / "model"))
    update_facts(folder, qscore=None)  # whatever it was shipped with
    return folder


@pytest.fixture
def reads(root: Path) -> tuple[Path, ...]:
    folder = root / "data" / "simulated_reads"
    return folder / "simulated.blow5", folder / "reference.fasta"


def content(folder: Path) -> tuple[dict, dict[str, np.ndarray]]:
    """Return facts and tensors of a model folder."""
    with safe_open(str(folder / "weights.safetensors"), framework="numpy") as stream:
        names = stream.keys()
        return json.loads(stream.metadata()["biorrn"]), {name: stream.get_tensor(name) for name in names}


def test_calibration_is_kept_in_the_model_and_all_else_stays(biorrn: Run, model: Path, reads: tuple[Path, ...]) -> None:
    facts, tensors = content(model)
    recipe = (model / "recipe.yaml").read_bytes()
    code, out, err = biorrn(model, reads[0], "--reference", reads[1], *FEW)
    assert code == 0, err
    assert out.startswith("reads: 8 scored, 0 unmapped or aligned by less than half, ")
    after, same = content(model)
    assert calibration_of(after) is not None
    told = after["qscore_fit"]
    assert told["reads"] == 8
    assert told["noise"] > 50
    assert told["after"]["calibration_error"] < told["before"]["calibration_error"]
    assert told["after"]["noise_q"] < 4
    kept = {name: value for name, value in after.items() if not name.startswith("qscore")}
    assert kept == {name: value for name, value in facts.items() if not name.startswith("qscore")}
    assert tensors.keys() == same.keys()
    assert all(np.array_equal(tensors[name], same[name]) for name in tensors)
    assert (model / "recipe.yaml").read_bytes() == recipe

    # a second time: the fit is to the model's own qualities, not to those that are calibrated now
    assert biorrn(model, reads[0], "--reference", reads[1], *FEW)[0] == 0
    assert content(model)[0] == after


def test_dry_run_and_region_leave_the_model_as_it_is(biorrn: Run, model: Path, reads: tuple[Path, ...]) -> None:
    before = (model / "weights.safetensors").read_bytes()
    name = reads[1].read_text().split()[0].removeprefix(">")
    region = ("--region", f"{name}:3000-9000", "--region", f"{name}:9000-20000", "--dry-run")
    code, out, _ = biorrn(model, reads[0], "--reference", reads[1], *FEW, *region)
    assert code == 0
    assert "reads: 6 scored" in out  # two of the eight lie wholly before it
    assert (model / "weights.safetensors").read_bytes() == before


def with_blank(model: Path, blank: float | None) -> str:
    """Write another stay score into the recipe of a model, and return the text."""
    text = dump_recipe(change_recipe(load_recipe(model / "recipe.yaml"), [f"model.head.blank={blank or 'null'}"]))
    (model / "recipe.yaml").write_text(text)
    return text


def test_the_stay_score_is_fitted(biorrn: Run, model: Path, reads: tuple[Path, ...]) -> None:
    """From one that deletes far too much: the recipe gets a lower one, and nothing else changes in it."""
    before, tensors = with_blank(model, 3.5), content(model)[1]
    options = (model, reads[0], "--reference", reads[1], *FEW, "--blank")
    code, out, err = biorrn(*options, "--dry-run")
    assert code == 0, err
    assert out.startswith(
        "stay score: 3.5 before, 3 after, of 3 to 4; the last one tried, so fit it again\nmean identity"
    )
    identity, insertions, deletions = (
        [float(part.strip("%")) for part in line.split()[-4::2]]
        for line in out.splitlines() if line.startswith(("mean identity", "insertions", "deletions"))
    )  # fmt: skip
    assert identity[0] < identity[1]
    assert insertions[0] < insertions[1]
    assert deletions[0] > deletions[1]
    assert (model / "recipe.yaml").read_text() == before
    assert biorrn(*options)[:2] == (0, out)
    assert (model / "recipe.yaml").read_text() == before.replace("blank: 3.5", "blank: 3.0")
    assert calibration_of(content(model)[0]) is not None
    assert all(np.array_equal(tensors[name], same) for name, same in content(model)[1].items())


def test_a_model_without_a_stay_score_is_refused(biorrn: Run, make_caller: Callable[..., Path], reads: tuple) -> None:
    ctc = make_caller(chemistry=["dna_r9.4.1_e8"])
    code, out, err = biorrn(ctc, reads[0], "--reference", reads[1], *FEW, "--blank")
    assert (code, out) == (2, "")
    assert "--blank: tiny: found head ctc; allowed is head crf with a number for blank" in err


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"options": ("--max-reads", 2)}, "calibration: found 2 scored reads with"),
        ({"options": ("--region", "chr1:0-9")}, "the reference has no sequence 'chr1'"),
        ({"options": ("--decoder", "bean")}, "decoder 'bean' is unknown; did you mean 'beam'?"),
        ({"reference": "no.fa"}, "no.fa: cannot be read"),
        ({"model": "no_model"}, "model 'no_model' is not a folder nor a shipped model"),
        ({"model": "shipped"}, "is a shipped model and cannot be changed; copy its folder"),
    ],
)
def test_refusals_are_one_line_and_leave_the_model(
    biorrn: Run, model: Path, shipped: str, reads: tuple[Path, ...], change: dict, message: str
) -> None:
    before = (model / "weights.safetensors").read_bytes()
    named = shipped if change.get("model") == "shipped" else change.get("model", model)
    options = (*FEW, *change.get("options", ()))
    code, out, err = biorrn(named, reads[0], "--reference", change.get("reference", reads[1]), *options)
    assert (code, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("biorrn: error:")]
    assert len(errors) == 1
    assert message in errors[0]
    assert (model / "weights.safetensors").read_bytes() == before
