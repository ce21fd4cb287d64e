"""Sound files of every kind of text and container that is fuzzed; all made up, and small."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import numpy as np

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"


def letters(rng: random.Random, alphabet: str, most: int = 60) -> str:
    return "".join(rng.choices(alphabet, k=rng.randrange(1, most)))


def fasta(rng: random.Random, alphabet: str = RESIDUES + "XBZ-") -> str:
    lines = []
    for number in range(rng.randrange(1, 5)):
        lines += [f">p{number}{rng.choice(('', ' a protein', ' OS=x'))}", letters(rng, alphabet)]
        lines += [letters(rng, alphabet)] * rng.randrange(3)
    return "\n".join(lines) + "\n"


def dna(rng: random.Random) -> str:
    return fasta(rng, "ACGTNacgt")


def fastq(rng: random.Random) -> str:
    reads = []
    for number in range(rng.randrange(1, 5)):
        bases = letters(rng, "ACGTN")
        quals = "".join(chr(rng.randrange(33, 127)) for _ in bases)
        reads.append(f"@r{number} ch=1\n{bases}\n+\n{quals}\n")
    return "".join(reads)


def table(rng: random.Random, mark: str | None = None) -> str:
    mark = mark or rng.choice(",\t")
    rows = [("id", "sequence", "y", "weight", "split", "mutation")]
    for number in range(rng.randrange(1, 5)):
        sequence = letters(rng, RESIDUES)
        numbers = (f"{rng.gauss(0, 1):.3f}", rng.choice(("1", "2", "0.5")))
        rows.append((f"p{number}", sequence, *numbers, rng.choice(("train", "test")), f"{sequence[0]}1G"))
    return "".join(mark.join(row) + "\n" for row in rows)


def vectors(rng: random.Random) -> str:
    mark = rng.choice(" \t,")
    return "".join(mark.join([residue, *(f"{rng.random():.2f}" for _ in range(3))]) + "\n" for residue in RESIDUES[:6])


def mutations(rng: random.Random) -> str:
    forms = ("A2G", "p.Ala2Gly", "A2del", "A2_K3del", "A2_K3insWW", "A2_K3delinsGP", "A2=", "M1V:K3R", "(K3R)")
    forms += (
        "WT",
        "_wt",
        "p.=",
        "p.[Ala2Gly;Lys3Arg]",
        "NP_1.1:p.Ala2Gly",
        "A2dup",
        "A2_K3dup",
        "A2*",
        "p.Ala2fs",
        "c.5C>T",
    )
    return rng.choice((",", "\n")).join(rng.choices(forms, k=rng.randrange(1, 5)))


def truth(rng: random.Random) -> str:
    lines = ["read_id\treference\tref_start\tref_end\tstrand\tbases\tstarts\tend"]
    for number in range(rng.randrange(1, 4)):
        bases = letters(rng, "ACGT", 8)
        starts = ",".join(str(5 * place) for place in range(len(bases)))
        lines.append(f"r{number}\tchr\t0\t{len(bases)}\t{rng.choice('+-')}\t{bases}\t{starts}\t{5 * len(bases)}")
    return "\n".join(lines) + "\n"


CHAINS = {"a": "MKVLATGGSW", "b": "ACDXEFGHIK", "c": "MK"}  # whose labels are fuzzed


def labels(rng: random.Random) -> str:
    states = [(name, letters_of(rng, "HEC", len(chain))) for name, chain in CHAINS.items()]
    return "".join(f">{name} SET={rng.choice(('train', 'test'))} VALIDATION=True\n{text}\n" for name, text in states)


def letters_of(rng: random.Random, alphabet: str, length: int) -> str:
    return "".join(rng.choices(alphabet, k=length))


def tag_table(rng: random.Random) -> str:
    mark = rng.choice(",\t")
    rows = [("id", "sequence", "labels", "b", "set")]
    for name, chain in CHAINS.items():
        numbers = ";".join(rng.choice(("1", "2.5", "", "nan")) for _ in chain)
        rows.append((name, chain, letters_of(rng, "HEC", len(chain)), numbers, rng.choice(("train", "valid"))))
    if mark == ",":
        rows = [(*row[:3], '"' + row[3].replace(";", ",") + '"', row[4]) for row in rows]
    return "".join(mark.join(row) + "\n" for row in rows)


def segments(rng: random.Random) -> str:
    lines = ["track name=genes", "# a remark"]
    for start in range(0, rng.randrange(10, 60), 20):
        lines.append(f"{rng.choice(('chr1', 'chr2'))}\t{start}\t{start + rng.randrange(1, 20)}\tgene\t0\t+")
    return "\n".join(lines) + "\n"


def pairs(rng: random.Random) -> str:
    rows = ["id\tsource\ttarget\tset"]
    rows += [f"p{n}\t{letters(rng, 'ACGT')}\t{letters(rng, RESIDUES)}\ttrain" for n in range(rng.randrange(1, 5))]
    return "\n".join(rows) + "\n"


def read_ids(rng: random.Random) -> str:
    ids = [f"{rng.getrandbits(64):016x}" for _ in range(rng.randrange(1, 5))]
    return "\n".join(ids) if rng.random() < 0.5 else "\n".join(["read_id\tn", *(f"{name}\t1" for name in ids)])


def pore_model(folder: Path) -> str:
    from biorrn.nanopore.simulate.pore_model import PoreModel, write_pore_model

    ones = np.ones(16)
    model = PoreModel(
        2, 0, np.linspace(-2, 2, 16), 0.1 * ones, 0.1 * ones, 9 * ones, 0.5 * ones, *np.zeros((2, 16), int)
    )
    write_pore_model(folder / "pore.tsv", model)
    return (folder / "pore.tsv").read_text()


def predictions(rng: random.Random) -> str:
    rows = "".join(f"p{n}\t{rng.random():.3f}\t0.1\t0.9\t{20 + n}\t{rng.choice(('', 'empty'))}\n" for n in range(3))
    return "id\ty\ty_lower\ty_upper\tlength\tflags\n" + rows


def published(rng: random.Random) -> str:
    row = f"gb1\tyes\tspearman\t{rng.random():.2f}\trandom\ta model\tAuthor 2020\n"
    return "set\tlanguage_model\tmetric\tscore\tsplit\twhat\tsource\n" + row * rng.randrange(1, 3)


def history(rng: random.Random) -> str:
    return "epoch\tloss\tlr\n" + "".join(f"{epoch}\t{rng.random():.4f}\t0.001\n" for epoch in range(3))


def summary(rng: random.Random) -> str:
    from biorrn.nanopore.basecall.summary import columns

    names = columns(aligned=False)
    rows = ["\t".join(names)]
    for number in range(rng.randrange(1, 4)):
        cells = {"filename": "f.pod5", "read_id": f"r{number}", "run_id": "run", "channel": str(rng.randrange(1, 513))}
        cells |= {"mux": "1", "start_time": "0.5", "duration": "2.25", "num_samples": "9000", "template_start": "0.5"}
        cells |= {"template_duration": "2.25", "samples_trimmed": "0", "passes_filtering": "TRUE", "status": "called"}
        cells |= {"sequence_length_template": str(rng.randrange(900))}
        cells |= {"mean_qscore_template": f"{rng.random() * 20:.2f}"}
        rows.append("\t".join(cells.get(name, "") for name in names))
    return "\n".join(rows) + "\n"


def samples(rng: random.Random) -> str:
    lines = ["name\tkind\tinput\tmodel\treference\tshards\tnote"]
    lines += [f"s{n}\tsignal\treads{n}\t.\tref.fa\t{rng.randrange(1, 9)}\ta note" for n in range(rng.randrange(1, 4))]
    return "\n".join(lines) + "\n"


def benchmark(rng: random.Random) -> str:
    names = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
    return names + f"{rng.random():.4f}\t0:00:01\t-\t9.1\t9.1\t9.1\t0.00\t0.00\t0.0\t1.0\n"


def evaluation(kind: str) -> dict[str, Any]:
    estimate = {"n": 9, "value": 0.5, "low": 0.1, "high": 0.9}
    metrics = {"spearman": estimate, "rmse": estimate}
    content: dict[str, Any] = {"kind": kind, "name": "run", "split": "valid", "note": "made up", "cautions": ["small"]}
    content |= {"inputs": {"predictions": {"path": "p.tsv", "sha256": "00"}}, "command": "biorrn evaluate", "seed": 0}
    content |= {"biorrn": "0", "resamples": 9, "figures": [{"path": "f.svg", "caption": "a figure"}], "baselines": {}}
    if kind == "regression":
        baseline = {"description": "mean", "metrics": metrics, "difference": metrics, "beats": True, "sentence": "yes"}
        content |= {"targets": [{"name": "y", "unit": "kcal"}], "metrics": {"y": metrics}, "flags": {"empty": 1}}
        content |= {
            "baselines": {"y": {"mean": baseline}},
            "coverage": {"y": {"levels": [{"level": 0.9, "coverage": 0.8}]}},
        }
        return content
    if kind == "tagging":
        metrics = {"accuracy_residue": estimate, "sov": estimate}
        baseline = {"description": "gor", "metrics": metrics, "difference": metrics, "beats": False, "sentence": "no"}
        content |= {"targets": [], "metrics": {"y": metrics}, "baselines": {"y": {"gor": baseline}}, "states": "HC"}
        content |= {"by_state": {"H": {"residues": 3, "f1": estimate}}, "confusion": {"H": {"H": 3, "C": 1}}}
        return content | {"confidence": {"calibration_error": 0.1, "bins": [{"from": 0.5, "accuracy": 0.4}]}}
    content |= {"metrics": {"median_identity": estimate, "identity": estimate}, "region": "chr:0-9", "min_bases": 9}
    content |= {"counts": {"reads": 3}, "within": estimate, "lengths": [{"from": 0, "to": None, "reads": 3}]}
    return content | {"quality": {"calibration_error": 0.1, "bases": [{"from": 1, "error": 0.2}], "reads": []}}


def prepared() -> dict[str, Any]:
    counted = {"edges": [0, 1, 2], "counts": [3, 4]}
    return {"note": "made up", "splits": {"train": {"proteins": 3}}, "lengths": {"train": counted}, "dropped": {"x": 1}}


def sample() -> dict[str, Any]:
    content = {"kind": "qc", "name": "s1", "note": "", "cautions": [], "figures": [{"path": "f.svg", "caption": "c"}]}
    counted = {"edges": [0, 1, 2], "counts": [3, 4]}
    content |= {"counts": {"reads": 3}, "length": {"n50": 900, "unit": "bases"}, "tables": {"lengths": counted}}
    return content | {"command": "biorrn qc", "inputs": {"summary": {"path": "s.tsv", "sha256": "00"}}}


def provenance() -> dict[str, Any]:
    content = {"command": "biorrn train", "versions": {"torch": "2"}, "recipe": "r", "data": {"x.h5": "00"}, "seed": 0}
    return content | {
        "seconds": 1.5,
        "rate": {"value": 9, "unit": "rows/s"},
        "best": {"epoch": 1, "value": 0.5, "metric": "loss"},
    }


def npz(rng: random.Random, **changed: Any) -> bytes:
    arrays: dict[str, Any] = {
        "words": np.frombuffer(RESIDUES[:6].encode(), np.uint8).reshape(6, 1),
        "vectors": np.ones((6, 3), np.float32),
        "unknown": np.zeros(3, np.float32),
        "facts": np.array(json.dumps({"k": 1})),
    }
    stream = io.BytesIO()
    writer = rng.choice((np.savez, np.savez_compressed))
    writer(stream, **(arrays | changed))
    return stream.getvalue()
