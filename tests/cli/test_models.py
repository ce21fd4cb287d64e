"""`biorrn models`: list and descriptions of the available models."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from biorrn.base.errors import InputError
from biorrn.nn.store import load_facts, save_model, shipped_models

Run = Callable[..., tuple[int, str, str]]


def test_every_shipped_model_is_listed_with_what_it_is_for(biorrn: Run) -> None:
    code, out, err = biorrn("models")
    assert code == 0, err
    assert biorrn("models", "--tsv")[1] == out
    rows = list(csv.DictReader(out.splitlines(), delimiter="\t"))
    assert [row["model"] for row in rows] == shipped_models()
    for row in rows:
        assert all(row[column] not in ("", ".") for column in ("task", "predicts", "inputs", "size", "measured")), row
        if row["task"] == "regression":
            assert row["unit"] != "."
            assert row["sign"].startswith("larger is")


def test_the_list_in_a_file_and_on_a_terminal(biorrn: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, out, err = biorrn("models", "-o", tmp_path / "models.tsv")
    assert (code, out, err) == (0, "", "")
    assert (tmp_path / "models.tsv").read_text() == biorrn("models")[1]
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "100")
    code, out, err = biorrn("models")
    assert code == 0, err
    assert max(map(len, out.splitlines())) <= 100
    assert all(f"\n  {name} " in out for name in shipped_models())
    assert biorrn("models", "--tsv")[1].count("\t") > 12


@pytest.mark.parametrize("name", shipped_models())
def test_a_model_is_shown_with_its_card(biorrn: Run, name: str) -> None:
    code, out, err = biorrn("models", "show", name)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"model: {name}"
    assert any(line.startswith("inputs: ") for line in lines)
    assert f"# {name}" in lines


def test_a_model_that_is_not_there(biorrn: Run) -> None:
    code, _, err = biorrn("models", "show", "stabilty")
    assert code == 2
    assert "did you mean 'stability'" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("predicts: a\ninputs: b\nmeasured: c\nunits: d\n", "key 'units'"),
        ("predicts: [", "is not YAML"),
        ("predicts: a\ninputs: b\nmeasured: c\ntargets: [{name: other}]\n", "target 'other': the model has y"),
    ],
)
def test_what_stands_beside_the_weights_is_checked(tmp_path: Path, text: str, message: str) -> None:
    from biorrn.config.recipe import parse_recipe
    from biorrn.nn.sequence import build

    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "y", "unit": ""}]}
    model = {"frontend": {"name": "onehot"}, "core": {"hidden": 2}, "pool": ["mean"]}
    content = {"name": "small", "task": "regression", "model": model}
    recipe = parse_recipe(content)
    save_model(tmp_path, build(recipe, facts), recipe, facts)
    (tmp_path / "about.yaml").write_text(text)
    with pytest.raises(InputError, match=r"about\.yaml") as caught:
        load_facts(tmp_path)
    assert message in str(caught.value)


CONFIG = """[model]
package = "bonito.crf"
[labels]
labels = [ "N", "A", "C", "G", "T",]
[input]
features = 1
[global_norm]
state_len = 1
[encoder]
scale = 5.0
rnn_type = "lstm"
winlen = 19
features = 4
activation = "swish"
stride = 5
blank_score = 2.0
num_layers = 1
"""


def test_a_folder_of_bonito_is_imported_listed_shown_and_calls(biorrn: Run, tmp_path: Path) -> None:
    folder = tmp_path / "theirs" / "dna_r9.4.1_e8_fast@v3.4"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    shapes = [(4, 1, 5), (4,), (16, 4, 5), (16,), (4, 16, 19), (4,), (16, 4), (16, 4), (16,), (16,), (16, 4), (16,)]
    torch.manual_seed(0)
    torch.save({f"t{number}": torch.randn(shape) for number, shape in enumerate(shapes)}, folder / "weights_1.tar")

    code, out, err = biorrn("models", "import", folder, "-o", tmp_path / "ours" / "fast")
    assert (code, out) == (0, "")
    assert err.startswith("biorrn models import: written; use it with biorrn basecall reads/ --model ")
    assert sorted(path.name for path in (tmp_path / "ours" / "fast").iterdir()) == [
        "card.md", "recipe.yaml", "weights.safetensors",
    ]  # fmt: skip
    code, out, err = biorrn("models", "show", tmp_path / "ours" / "fast")
    assert code == 0, err
    assert "Licence of the weights: Oxford Nanopore Technologies PLC." in out
    code, out, err = biorrn("models", "show", folder)
    assert code == 0, err
    assert "licence: Oxford Nanopore Technologies PLC." in out
    calls = []
    for place in (folder, tmp_path / "ours" / "fast"):
        words = ("basecall", "data/simulated_reads/simulated.pod5", "--model", place, "--min-length", 0, "--force")
        code, out, err = biorrn(*words, "--max-reads", 2, "--emit", "fastq", "-o", "-", "--allow-empty")
        assert code == 0, err
        assert "licence of the weights: Oxford Nanopore" in err
        calls.append(out.replace("_dna_r9.4.1_e8_fast@v3.4", "").replace("_fast", ""))
    assert calls[0] == calls[1]
    code, out, err = biorrn("models", "import", folder, "-o", tmp_path / "ours" / "fast")
    assert code == 2
    assert "holds files; allowed is a new or an empty folder" in err
