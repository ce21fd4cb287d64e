"""What all tests share."""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import settings

from biorrn.base.compute import prepare_libraries

# before torch is imported anywhere: several test workers share few cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")
prepare_libraries()

# no test may depend on the speed of the machine; the first to open a file waits for the process that reads it
settings.register_profile("biorrn", deadline=None)
settings.load_profile("biorrn")

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the project's root."""
    return ROOT


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Return a function that runs the command line in this process and returns its exit code."""
    from biorrn.cli.main import main

    def run(*words: object) -> int:
        monkeypatch.setattr(sys, "argv", ["biorrn", *map(str, words)])
        with pytest.raises(SystemExit) as stopped:
            main()
        return int(stopped.value.code or 0)

    return run


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real data, or skip where it is absent."""
    folder = Path(os.environ.get("BIORRN_SHARED_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}; set BIORRN_SHARED_DATA to its place")
    return folder


@pytest.fixture(scope="session")
def tiny_proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared protein file: 60 made-up proteins whose label is their share of leucine."""
    import numpy as np

    from biorrn.sequences.alphabets import RESIDUES, tokens
    from biorrn.sequences.prepared.files import protein_writer

    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("proteins") / "tiny.h5"
    with protein_writer(path, [{"name": "leucine", "unit": "percent"}]) as writer:
        for number in range(60):
            letters = list(RESIDUES[:-1]) + ["L"] * int(rng.integers(0, 30))
            sequence = "".join(rng.choice(letters, rng.integers(12, 30)))
            share = 100 * sequence.count("L") / len(sequence)
            writer.add(f"p{number}", tokens(sequence), [share], split=int(number >= 45))
    return path


@pytest.fixture(scope="session")
def tiny_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared protein file of three made-up families, each with a motif; in three splits.

    Beside it, x.csv holds the rows, with a column of the split.
    """
    import numpy as np

    from biorrn.proteins.prepare import prepare_proteins
    from biorrn.sequences.alphabets import RESIDUES
    from biorrn.sequences.splits import Column
    from biorrn.sequences.tables.reader import Reading

    rng = np.random.default_rng(0)
    folder, motifs = tmp_path_factory.mktemp("classes"), {"kinase": "DFGHRD", "channel": "TVGYGW", "globin": "LHCKPF"}
    rows = ["id,sequence,family,set"]
    for number in range(180):
        family = list(motifs)[number % 3]
        letters = rng.choice(list(RESIDUES[:-1]), int(rng.integers(16, 30)))
        at = int(rng.integers(0, len(letters)))
        sequence = "".join(letters[:at]) + motifs[family] + "".join(letters[at:])
        rows.append(f"p{number},{sequence},{family},{('train', 'valid', 'test')[(number >= 90) + (number >= 140)]}")
    (folder / "x.csv").write_text("\n".join(rows) + "\n")
    reading = Reading(strict=True, type="auto")
    prepare_proteins(folder / "x.csv", folder / "tiny.h5", Column("set"), ["family"], reading=reading)
    return folder / "tiny.h5"


@pytest.fixture(scope="session")
def kernel_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a small untrained property model that the compiled kernels run."""
    import torch

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build
    from biorrn.nn.store import save_model

    folder = tmp_path_factory.mktemp("models") / "lstm"
    torch.manual_seed(3)
    facts = {"task": "regression", "outputs": 1, "targets": [{"name": "stability"}]}
    recipe = load_recipe("stability_net")
    save_model(folder, build(recipe, facts), recipe, facts)
    return folder


@pytest.fixture(scope="session")
def tiny_signal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared signal file: made-up reads, one level a base, 8 samples a base, a little noise."""
    import numpy as np

    from biorrn.sequences.prepared.files import signal_writer

    rng = np.random.default_rng(1)
    levels = np.array([0.0, -1.5, -0.5, 0.5, 1.5])
    path = tmp_path_factory.mktemp("signal") / "tiny.h5"
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for number in range(6):
            bases = rng.integers(1, 5, 120)
            # neighbours differ, so that a caller needs no sense of dwell
            bases = np.array([b for a, b in zip([0, *bases], bases, strict=False) if a != b], np.uint8)
            signal = np.repeat(levels[bases], 8) + rng.normal(0, 0.1, 8 * len(bases))
            starts = np.arange(len(bases)) * 8
            writer.add(f"r{number}", signal.astype(np.float32), bases, starts, split=int(number == 5))
    return path


@pytest.fixture(scope="session")
def tiny_pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared file of pairs: 60 made-up coding sequences and their proteins of 3 to 6 residues."""
    from biorrn.sequences.splits import Random
    from biorrn.translation.data import coding_pairs, prepare_pairs

    path = tmp_path_factory.mktemp("pairs") / "tiny.h5"
    prepare_pairs(coding_pairs(60, 3, 6), path, Random((0.7, 0.2, 0.1)), "codons", "residues", note="synthetic")
    return path


@pytest.fixture(scope="session")
def tagged_proteins(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a prepared file of tags: 50 made-up proteins in three splits; residues lean to states, some are unknown.

    Beside it, x.fasta holds the test rows.
    """
    import numpy as np

    from biorrn.sequences.alphabets import NO_STATE, RESIDUES, THREE, tokens
    from biorrn.tagging.prepare import tag_writer

    rng = np.random.default_rng(0)
    letters = {"H": list("AELKMQRAVG"), "E": list("VIYFTWVAGV"), "C": list("GPNDSHCAVG")}
    path = tmp_path_factory.mktemp("tags") / "tags.h5"
    fasta = []
    with tag_writer(path, RESIDUES, THREE) as writer:
        for number in range(50):
            states = "".join(str(rng.choice(list("HEC"))) * int(rng.integers(3, 9)) for _ in range(8))
            sequence = "".join(rng.choice(letters[state]) for state in states)
            labels = THREE.encode(states).copy()
            labels[rng.random(len(labels)) < 0.05] = NO_STATE
            split = int(number >= 34) + int(number >= 40)
            writer.add(f"p{number}", tokens(sequence), labels, split)
            fasta += [f">p{number}\n{sequence}\n"] if split == 2 else []
    (path.parent / "x.fasta").write_text("".join(fasta))
    return path


# of the tokenisers of ESM-2 and of ProtT5
ESM = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
LETTERS = "ALGVSREDTIPKFQNYMHWCXUBZO"


@pytest.fixture(scope="session")
def tiny_esm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a masked language model of 2 layers, with the tokeniser files of facebook/esm2."""
    transformers = pytest.importorskip("transformers", reason="needs the extra plm")
    import torch

    folder = tmp_path_factory.mktemp("plm") / "tiny_esm"
    folder.mkdir()
    torch.manual_seed(0)
    (folder / "vocab.txt").write_text("\n".join(ESM))
    transformers.EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.EsmConfig(
        vocab_size=len(ESM),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        pad_token_id=1,
        mask_token_id=len(ESM) - 1,
        position_embedding_type="rotary",
        token_dropout=True,
    )
    transformers.EsmForMaskedLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_t5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return that of an encoder-decoder, with a sentencepiece model of residues as words, as Rostlab/prot_t5 has it."""
    transformers = pytest.importorskip("transformers", reason="needs the extra plm")
    sentencepiece = pytest.importorskip("sentencepiece", reason="needs the extra plm")
    pytest.importorskip("google.protobuf", reason="needs the extra plm")
    import torch

    folder = tmp_path_factory.mktemp("plm") / "tiny_t5"
    folder.mkdir()
    torch.manual_seed(0)
    (folder / "text").write_text("\n".join([" ".join(LETTERS)] * 20))
    sentencepiece.SentencePieceTrainer.train(
        input=str(folder / "text"),
        model_prefix=str(folder / "spiece"),
        model_type="word",
        vocab_size=len(LETTERS) + 3,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    own = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    (folder / "special_tokens_map.json").write_text(json.dumps(own))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer", "extra_ids": 0, **own}))
    config = transformers.T5Config(
        vocab_size=len(LETTERS) + 3,
        d_model=16,
        d_kv=8,
        num_heads=2,
        d_ff=32,
        num_layers=2,
        num_decoder_layers=1,
        decoder_start_token_id=0,
    )
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return folder
