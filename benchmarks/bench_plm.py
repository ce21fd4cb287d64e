"""Benchmark of protein language models: exchange of files with biotrainer, training from disk, cost of adapters.

Run: python benchmarks/bench_plm.py exchange --model FOLDER --peer /path/to/python/of/biotrainer
     python benchmarks/bench_plm.py memory [--proteins 100000] [--width 320] [--length 60] [--per mean residue]
     python benchmarks/bench_plm.py tune [--shapes 8M 35M] [--lengths 100 400] [--rows 8] [--device cpu] [--threads 1]

  exchange  biotrainer and biorrn embed the same made-up proteins with the model in FOLDER; each reads the file that the
            other wrote: how many proteins are found, and the largest difference of two numbers. biotrainer knows ESM-2
            and ProtT5 by their names on the hub: run it where facebook/esm2_t6_8M_UR50D is such a folder
  memory    made-up embeddings on disk; a recipe is trained from them for one epoch and predicts all proteins: wall
            seconds, and the largest memory of each process
  tune      a training step with adapters (`train-table --tune lora`) of models with the shapes of ESM-2 and random
            weights, on batches of made-up proteins: seconds (the fastest of three), and the memory that it takes beyond
            that of the libraries, beside the estimate by which --tune chooses. Speed and memory do not depend on what
            the weights are; scores do, and none are measured
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from measure import cost, machine

from biorrn.sequences.alphabets import RESIDUES, tokens
from biorrn.sequences.embeddings import Embeddings, sequence_hash
from biorrn.sequences.prepared.files import protein_writer

PEER = """
import json, sys, warnings
warnings.simplefilter("ignore")
from pathlib import Path
import torch
from biotrainer.embedders import EmbeddingService, get_embedding_service
from biotrainer.protocols import Protocol

if __name__ == "__main__":
    model, fasta, out, ours, means = sys.argv[1:]
    service = get_embedding_service(model, None, False, torch.device("cpu"))
    found = {}
    for protocol, own in ((Protocol.residues_to_value, ours), (Protocol.sequence_to_value, means)):
        path = service.compute_embeddings(input_data=fasta, output_dir=Path(out), protocol=protocol)
        theirs, read = EmbeddingService.load_embeddings(path), EmbeddingService.load_embeddings(own)
        apart = max(float((read[name] - theirs[name]).abs().max()) for name in theirs)
        found[protocol.name] = {"path": path, "of": len(theirs), "read": len(read), "apart": apart}
    print(json.dumps(found))
"""


def proteins(count: int, length: int, seed: int = 0) -> list[str]:
    """Return made-up proteins of about a length."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(max(1, length // 2), length * 3 // 2 + 1, count)
    whole = rng.choice(list(RESIDUES[:20]), int(lengths.sum()))
    return ["".join(part) for part in np.split(whole, np.cumsum(lengths)[:-1])]


def exchange(model: str, peer: str, folder: Path) -> None:
    """Print what each program reads of the other's files."""
    texts = proteins(50, 100)
    fasta = folder / "p.fasta"
    fasta.write_text("".join(f">p{row}\n{text}\n" for row, text in enumerate(texts)))
    ours = {per: folder / f"{per}.h5" for per in ("residue", "mean")}
    for per, path in ours.items():
        words = ["--model", model, "--per", per, "--float32", "--device", "cpu", "-o", str(path)]
        subprocess.run([sys.executable, "-m", "biorrn", "embed", "plm", str(fasta), *words], check=True)
    (folder / "peer.py").write_text(PEER)
    (folder / "out").mkdir()
    words = [peer, str(folder / "peer.py"), model, str(fasta), str(folder / "out"), *map(str, ours.values())]
    own = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # not biorrn's packages
    done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, env=own)
    for (protocol, found), path in zip(json.loads(done.stdout.splitlines()[-1]).items(), ours.values(), strict=True):
        theirs, own = Embeddings.open(found["path"]), Embeddings.open(path)
        mean, apart, joined = theirs.per == "protein", 0.0, 0
        for row, text in enumerate(texts):
            joined += theirs.join(f"p{row}", text)
            one, other = theirs.get(tokens(text), mean), own.get(tokens(text), mean)
            assert one is not None
            assert other is not None
            apart = max(apart, float(np.abs(one - other).max()))
        print(f"{protocol}\tbiotrainer reads ours\t{found['read']} of {found['of']}\tapart by {found['apart']:.2g}")
        print(f"{protocol}\tbiorrn reads theirs\t{joined} of {len(texts)}\tapart by {apart:.2g}")


RECIPE = """
name: from_disk
task: regression
model:
  frontend: {{name: embeddings, path: {path}, per: {per}}}
  core: {{cell: gru, hidden: 32, layers: {layers}}}
  pool: [mean]
  head: {{name: regression, hidden: 64}}
training: {{epochs: 1, batch_size: 128}}
"""


def memory(count: int, width: int, length: int, per: str, folder: Path) -> None:
    """Print time and memory of training and prediction from made-up embeddings on disk."""
    rng = np.random.default_rng(1)
    table, weights = rng.normal(size=(22, width)).astype(np.float32), rng.normal(size=width)
    path, prepared, fasta = folder / f"{per}.h5", folder / f"{per}_prepared.h5", folder / "p.fasta"
    targets = [{"name": "y", "unit": ""}]
    with h5py.File(path, "w") as file, protein_writer(prepared, targets) as writer, open(fasta, "w") as stream:
        for row, text in enumerate(proteins(count, length)):
            own = table[tokens(text)]
            mean = own.mean(0)
            values = (own if per == "residue" else mean).astype(np.float16)
            file.create_dataset(sequence_hash(text), data=values).attrs["original_id"] = f"p{row}"
            writer.add(f"p{row}", tokens(text), [float(mean @ weights)], split=int(row % 10 == 0))
            stream.write(f">p{row}\n{text}\n")
    (folder / "recipe.yaml").write_text(RECIPE.format(path=path, per=per, layers=1 if per == "residue" else 0))
    program, run = [sys.executable, "-m", "biorrn"], str(folder / f"run_{per}")
    common = ["--device", "cpu", "--threads", "1"]
    for what, words in (
        ("train", ["train", str(folder / "recipe.yaml"), str(prepared), "-o", run, *common]),
        ("predict", ["predict", run, str(fasta), "--embeddings", str(path), "-o", str(folder / "p.tsv"), *common]),
    ):
        took = cost([*program, *words])
        size = path.stat().st_size / 1e9
        print(f"{what}\t{per}\t{count:,} proteins\t{size:.2f} GB\t{took.wall:.0f} s\t{took.peak:.0f} MiB", flush=True)


# hidden size, layers, width of the feed-forward layers, as of facebook/esm2_t6_8M_UR50D, ...; all have 20 heads
SHAPES = {"8M": (320, 6, 1280), "35M": (480, 12, 1920), "150M": (640, 30, 2560), "650M": (1280, 33, 5120)}


def random_esm(shape: str, folder: Path) -> None:
    """Save a model with the shape and the tokeniser of ESM-2, and random weights."""
    import transformers

    folder.mkdir()
    words = ["<cls>", "<pad>", "<eos>", "<unk>", *"LAGVSERTIDPKQNFYMHWCXBUZO", ".", "-", "<null_1>", "<mask>"]
    (folder / "vocab.txt").write_text("\n".join(words))
    transformers.EsmTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    hidden, layers, wide = SHAPES[shape]
    sizes = {"hidden_size": hidden, "num_hidden_layers": layers, "num_attention_heads": 20, "intermediate_size": wide}
    kind = {"position_embedding_type": "rotary", "token_dropout": True, "max_position_embeddings": 1026}
    off = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.EsmConfig(vocab_size=len(words), pad_token_id=1, mask_token_id=32, **sizes, **kind, **off)
    transformers.EsmForMaskedLM(config).save_pretrained(folder)


def step(model: str, rows: int, length: int, checkpointing: bool, device: str, threads: int) -> None:
    """Print the cost of a training step with adapters; in a process of its own, whose memory is that of the step."""
    import resource
    import time

    import torch
    from torch.nn import functional as F

    from biorrn.base.compute import keep_memory, set_threads
    from biorrn.config import recipe as config
    from biorrn.nn.lora import Adapted, need
    from biorrn.nn.sequence import build_model
    from biorrn.training.batches import pad_tokens

    set_threads(threads)
    keep_memory()  # as a training does
    part = config.Adapted(path=model, checkpointing=checkpointing)
    build_model(config.Model(frontend=config.Embedding(), core=config.Core(layers=0), pool=["mean"]), 1)
    import peft  # noqa: F401
    import transformers

    transformers.EsmModel  # noqa: B018  # what the libraries take is not counted
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    estimate = need(part, length).total(rows, False, checkpointing, device)
    network = build_model(config.Model(frontend=part, core=config.Core(layers=0), pool=["mean"]), 1).to(device).train()
    assert isinstance(network.frontend, Adapted)
    learned = [value for value in network.parameters() if value.requires_grad]
    optimiser = torch.optim.AdamW(learned, lr=3e-4)
    x, lengths = (value.to(device) for value in pad_tokens([tokens("M" * length)] * rows))
    times = []
    for _ in range(4):  # the first builds kernels
        start = time.perf_counter()
        F.huber_loss(network(x, lengths)[0], torch.zeros(rows, 1, device=device)).backward()
        optimiser.step()
        optimiser.zero_grad()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - start)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    used = used if device == "cpu" else torch.cuda.max_memory_allocated()
    trained = sum(value.numel() for value in learned)
    how = "again" if checkpointing else "kept"
    numbers = f"{min(times[1:]):.2f} s\t{used / 1e6:.0f} MB\testimate {estimate / 1e6:.0f} MB"
    print(f"{Path(model).name}\t{trained:,} trained\t{rows} x {length}\tactivations {how}\t{numbers}", flush=True)


def main() -> None:
    """Run one of the parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    one = parts.add_parser("exchange")
    one.add_argument("--model", required=True)
    one.add_argument("--peer", required=True)
    other = parts.add_parser("memory")
    other.add_argument("--proteins", type=int, default=100_000)
    other.add_argument("--width", type=int, default=320)
    other.add_argument("--length", type=int, default=60)
    other.add_argument("--per", nargs="+", default=["mean", "residue"], choices=["mean", "residue"])
    tuned = parts.add_parser("tune")
    tuned.add_argument("--shapes", nargs="+", default=["8M", "35M"], choices=list(SHAPES))
    tuned.add_argument("--lengths", nargs="+", type=int, default=[100, 400])
    tuned.add_argument("--rows", type=int, default=8)
    tuned.add_argument("--device", default="cpu")
    tuned.add_argument("--threads", type=int, default=1)
    tuned.add_argument("--step", nargs=3, metavar=("MODEL", "LENGTH", "CHECKPOINTING"))  # in a process of its own
    given = parser.parse_args()
    if given.part == "tune" and given.step:
        model, length, again = given.step
        step(model, given.rows, int(length), again == "True", given.device, given.threads)
        return
    print(machine("h5py", "torch"))
    with tempfile.TemporaryDirectory() as folder:
        if given.part == "exchange":
            exchange(given.model, given.peer, Path(folder))
        for per in given.per if given.part == "memory" else ():
            memory(given.proteins, given.width, given.length, per, Path(folder))
        for shape in given.shapes if given.part == "tune" else ():
            random_esm(shape, Path(folder) / f"esm2_{shape}")
            for length in given.lengths:
                for again in (False, True):
                    words = [f"{Path(folder) / f'esm2_{shape}'}", str(length), str(again)]
                    same = ["--rows", str(given.rows), "--device", given.device, "--threads", str(given.threads)]
                    subprocess.run([sys.executable, __file__, "tune", *same, "--step", *words], check=True)


if __name__ == "__main__":
    main()
