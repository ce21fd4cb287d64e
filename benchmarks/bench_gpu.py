"""Benchmark on one GPU, in under eight minutes: tests, CTC-CRF loss and decoding, calling, training, proteins, memory.

Run: python benchmarks/bench_gpu.py -o OUT [--entries NAME ...] [--seconds 450] [--dry-run-cpu]

Each entry is a process of its own with a time limit. OUT gets rows.jsonl as results come, so that a run that is killed
keeps what it has; results.json and results.txt after each entry; tests.log. Without a GPU, or with --dry-run-cpu,
every entry runs in a tiny form on the CPU, which takes about a minute and shows only that the script works.

Rates are medians of repeats after a first call, which compiles. Reads are simulated; `fast` is the shipped model, `hac`
an untrained one of its size, whose calls are only compared with those of the CPU.
"""

# ruff: noqa: E402
import argparse
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any

from biorrn.base.compute import prepare_libraries

prepare_libraries()  # before torch

import numpy as np

from biorrn.base.files import atomic_path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ("tests/unit/kernels/crf/test_gpu.py", "tests/unit/nanopore/basecall/test_cuda.py")
FAST = "dna_r9.4.1_fast"


@dataclass(frozen=True)
class Sizes:
    """How large the entries are."""

    rows: int  # of a batch of the loss
    frames: tuple[int, int]  # of a row: at states of three bases, and of four
    checked: int  # frames of a row that is compared with the reference
    pieces: tuple[int, ...]  # decoded at a time
    long: int  # frames of a piece
    longest: int
    batches: tuple[int, ...]  # chunks a forward pass
    reads: int  # simulated, which repeat
    called: int  # samples called a repeat
    commands: tuple[str, ...]  # models with which `biorrn basecall` is run
    steps: int  # of training an epoch
    trained: tuple[tuple[str, int, str], ...]  # recipe, rows, precision
    proteins: int


FULL = Sizes(
    rows=64, frames=(400, 800), checked=200, pieces=(16, 64, 256), long=10_000, longest=20_000,
    batches=(256, 1024, 2048), reads=40, called=60_000_000, commands=("fast", "hac"), steps=40,
    trained=(("fast", 64, "32"), ("fast", 64, "bf16"), ("fast", 64, "16"), ("fast", 512, "bf16"), ("hac", 64, "32"),
             ("hac", 64, "bf16"), ("hac", 64, "16")),
    proteins=100_000,
)  # fmt: skip
TINY = Sizes(
    rows=2, frames=(20, 20), checked=10, pieces=(2,), long=20, longest=20, batches=(8,), reads=1, called=20_000,
    commands=("fast",), steps=1, trained=(("fast", 2, "32"),), proteins=50,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What an entry is given."""

    device: Any  # torch device
    sizes: Sizes
    ends: float  # monotonic time
    out: Path
    scratch: Path

    @property
    def left(self) -> float:
        """Seconds left."""
        return self.ends - time.monotonic()


Row = tuple[str, dict[str, Any]]  # what was run, and values by what they are and their unit


def wait(device: Any) -> None:
    """Wait for a device."""
    if device.type == "cuda":
        import torch

        torch.cuda.synchronize(device)


def seconds_of(work: Callable[[], object], run: Run, repeats: int = 5, most: float = 8.0) -> float:
    """Return the median seconds of a call after the first, over `repeats` or as many as fit into `most` seconds."""
    work()
    wait(run.device)
    found: list[float] = []
    while len(found) < repeats and (not found or sum(found) + found[-1] < min(most, run.left)):
        start = time.perf_counter()
        work()
        wait(run.device)
        found.append(time.perf_counter() - start)
    return statistics.median(found)


def tried(case: str, measure: Callable[..., dict[str, Any]], *given: Any) -> Row:
    """Return the row of `measure(*given)`, or of what came in its way."""
    try:
        return case, measure(*given)
    except Exception as error:  # the other rows are wanted all the same
        return case, {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


# -- entries: generators of rows ----------------------------------------------------------------------------------


def versions(run: Run) -> Iterator[Row]:
    """Device, driver and versions."""
    import importlib.metadata
    import platform

    import torch

    names = ("biorrn", "torch", "triton", "numpy", "numba", "lightning")
    found: dict[str, Any] = {"python": platform.python_version(), "cores": os.cpu_count()}
    for name in names:
        with suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    if run.device.type == "cuda":
        properties = torch.cuda.get_device_properties(run.device)
        found |= {
            "gpu": properties.name,
            "multiprocessors": properties.multi_processor_count,
            "memory, GiB": round(properties.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
            "cudnn": torch.backends.cudnn.version(),
        }
        with suppress(OSError, subprocess.SubprocessError):
            asked = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
            found["driver"] = subprocess.run(asked, capture_output=True, text=True, timeout=10).stdout.strip()
    yield "machine", found


def tests(run: Run) -> Iterator[Row]:
    """The tests of the code that runs on CUDA; tests.log keeps their output."""
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-o", "addopts=", "--import-mode=importlib"]
    command += ["-v", "-rs", "-k", "not where_there_is_no_gpu", *TESTS]
    environment = {key: value for key, value in os.environ.items() if key != "TRITON_INTERPRET"}
    start = time.perf_counter()
    with (run.out / "tests.log").open("w") as log:
        done = subprocess.run(command, cwd=ROOT, stdout=log, stderr=subprocess.STDOUT, env=environment)
    last = (run.out / "tests.log").read_text().strip().splitlines()[-1].strip("= ")
    yield "pytest", {"exit code": done.returncode, "result": last, "s": round(time.perf_counter() - start, 1)}


def scores_of(rows: int, frames: int, k: int, device: Any) -> Any:
    """Return scores float32 (B, T, 5 S) in the form of the CRF head."""
    import torch

    scores = 5 * torch.randn(rows, frames, 5 * 4**k, device=device).div_(2).tanh_()
    scores[..., : 4**k] = 2.0
    return scores


def both(name: str, scores: Any, rest: tuple[Any, ...]) -> tuple[Any, Any]:
    """Return the losses by an entry of `kernels.crf.loss.KERNELS`, and their gradient."""
    from biorrn.kernels.crf.loss import crf_loss

    scores = scores.detach().requires_grad_()
    losses = crf_loss(scores, *rest, name)
    losses.sum().backward()
    return losses.detach(), scores.grad


def loss(run: Run) -> Iterator[Row]:
    """CTC-CRF loss and gradient: errors against the reference in float64, and time."""
    import torch

    from biorrn.kernels.crf.loss import default_kernel

    def batch(rows: int, frames: int, k: int) -> tuple[Any, tuple[Any, ...]]:
        targets = torch.randint(1, 5, (rows, frames // 2), device=run.device)
        sizes = (torch.full((rows,), count, device=run.device) for count in (frames, frames // 2))
        lengths, target_lengths = sizes
        return scores_of(rows, frames, k, run.device), (lengths, targets, target_lengths, k)

    def error(name: str, scores: Any, rest: tuple[Any, ...]) -> dict[str, Any]:
        (found, slope), (exact, steep) = both(name, scores, rest), both("reference", scores.double(), rest)
        relative = float(((found - exact) / exact).abs().max())
        return {"loss error, relative": relative, "gradient error": float((slope - steep).abs().max())}

    def speed(name: str, scores: Any, rest: tuple[Any, ...], repeats: int) -> dict[str, Any]:
        took = seconds_of(lambda: both(name, scores, rest), run, repeats)
        return {"ms": 1e3 * took, "frames/s": scores.shape[0] * scores.shape[1] / took}

    torch.manual_seed(0)
    for k, frames in zip((3, 4), run.sizes.frames, strict=True):
        few, many = batch(2, run.sizes.checked, k), batch(run.sizes.rows, frames, k)
        size, kernel = f"k {k}, {run.sizes.rows} x {frames}", default_kernel(few[0])
        for kind in (torch.float32, torch.float16, torch.bfloat16):
            name = str(kind).removeprefix("torch.")
            yield tried(f"k {k}, {kernel}, {name}, error", error, kernel, few[0].to(kind), few[1])
            yield tried(f"{size}, {kernel}, {name}", speed, kernel, many[0].to(kind), many[1], 5)
        yield tried(f"{size}, reference, float32", speed, "reference", *many, 1)
        processor = many[0].cpu(), tuple(x.cpu() if hasattr(x, "cpu") else x for x in many[1])
        yield tried(f"{size}, numba on the CPU, float32", speed, "numba", *processor, 1)


def decode(run: Run) -> Iterator[Row]:
    """Posterior Viterbi decoding: same calls as on the CPU, and time."""
    import torch

    from biorrn.kernels.crf import gpu, reference
    from biorrn.kernels.crf.decode import posterior_viterbi

    cuda = run.device.type == "cuda"
    here, kind = (gpu.posterior_viterbi, torch.float16) if cuda else (reference.posterior_viterbi, torch.float32)

    def flat(pieces: int, frames: int, k: int) -> tuple[Any, ...]:
        scores = torch.cat([scores_of(1, frames, k, run.device)[0].to(kind) for _ in range(pieces)])
        starts = torch.arange(pieces, device=run.device) * frames
        return scores, starts, torch.full((pieces,), frames, device=run.device), k

    def same(pieces: int, frames: int, k: int) -> dict[str, Any]:
        scores, *rest = flat(pieces, frames, k)
        letters, evidence, _ = (found.cpu().numpy() for found in here(scores, *rest))
        alike, worst, called = 0, 0.0, 0
        for start in range(0, pieces * frames, frames):
            part = slice(start, start + frames)
            bases, starts, exact = posterior_viterbi(scores[part].float().cpu().numpy(), k)
            found = np.flatnonzero(letters[part])
            equal = np.array_equal(found, starts) and np.array_equal(letters[part][found], bases)
            alike, called = alike + equal, called + len(bases)
            if equal:
                worst = max(worst, float(np.abs(evidence[:, part][:, found].T - exact).max(initial=0)))
        return {"pieces": pieces, "equal": alike, "bases": called, "largest difference of evidence": worst}

    def speed(pieces: int, frames: int, k: int, warps: int = 0) -> dict[str, Any]:
        given, chosen = flat(pieces, frames, k), gpu.warps
        if warps:
            gpu.warps = lambda width: warps
        try:
            took = seconds_of(lambda: here(*given), run, 3)
        finally:
            gpu.warps = chosen
        return {"ms": 1e3 * took, "frames/s": pieces * frames / took, "us a frame of a piece": 1e6 * took / frames}

    def processor(frames: int, k: int) -> dict[str, Any]:
        scores = scores_of(1, frames, k, torch.device("cpu"))[0].numpy()
        return {"frames/s": frames / seconds_of(lambda: posterior_viterbi(scores, k), run, 3)}

    torch.manual_seed(0)
    for k in (3, 4):
        yield tried(f"k {k}, same as on the CPU", same, 4, 10 * run.sizes.checked, k)
        for pieces, frames in [(1, run.sizes.longest), *((count, run.sizes.long) for count in run.sizes.pieces)]:
            yield tried(f"k {k}, {pieces} pieces of {frames} frames", speed, pieces, frames, k)
        for warps in (1, 2, 4, 8) if cuda else ():
            case = f"k {k}, {run.sizes.pieces[1]} pieces of {run.sizes.long} frames, {warps} warps"
            yield tried(case, speed, run.sizes.pieces[1], run.sizes.long, k, warps)
        yield tried(f"k {k}, one thread of the CPU", processor, run.sizes.long, k)


def model_of(name: str, scratch: Path) -> Any:
    """Return the shipped `fast`, or an untrained model of another recipe."""
    import torch

    from biorrn.config.recipe import load_recipe
    from biorrn.nn.sequence import build_model
    from biorrn.nn.store import load_model, save_model

    if name == "fast":
        return load_model(FAST)
    folder = scratch / name
    if not folder.exists():
        torch.manual_seed(0)
        recipe, facts = load_recipe(name), dict(load_model(FAST).facts)
        facts = {key: facts[key] for key in ("task", "normaliser", "sample_rate", "stride", "outputs") if key in facts}
        save_model(folder, build_model(recipe.model, 5), recipe, facts)
    return load_model(folder)


def simulated(count: int) -> tuple[list[Any], list[str]]:
    """Return simulated reads of R9.4.1 and their true bases."""
    from biorrn.nanopore.simulate.pore_model import load_pore_model
    from biorrn.nanopore.simulate.reads import Settings, random_genome, simulate
    from biorrn.sequences.alphabets import decode_bases

    genome, pores = random_genome("200000", 0), load_pore_model("dna_r9.4.1_6mer")
    settings = Settings(length_mean=5000.0 if count > 1 else 300.0)
    made = list(simulate(genome, pores, settings, reads=count, seed=0))
    return [record for record, _ in made], [decode_bases(labels.bases) for _, labels in made]


def repeated(records: list[Any], samples: int) -> list[Any]:
    """Return reads of about `samples` samples in all: the records over and over, with ids of their own."""
    found: list[Any] = []
    total = 0
    for number, record in enumerate(cycle(records)):
        if total >= samples:
            return found
        found.append(replace(record, read_id=f"{record.read_id[:-6]}{number:06d}"))
        total += len(record.raw)
    raise AssertionError


def peak(device: Any, work: Callable[[], object]) -> tuple[float, dict[str, Any]]:
    """Return the seconds of a call, and the most memory that it took on a GPU."""
    import torch

    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    work()
    wait(device)
    took = time.perf_counter() - start
    return took, {"GPU memory, GiB": torch.cuda.max_memory_allocated() / 2**30} if cuda else {}


def calling(run: Run) -> Iterator[Row]:
    """Samples a second of the network alone and of calling in memory; what is called."""
    from biorrn.config.recipe import Chunks
    from biorrn.kernels.distance import identity
    from biorrn.nanopore.basecall.caller import Caller, calling_chunks
    from biorrn.nanopore.basecall.engine import choose

    records, truths = simulated(run.sizes.reads)
    many, threads = repeated(records, run.sizes.called), min(8, os.cpu_count() or 1)

    def bases(chosen: list[Any], **options: Any) -> dict[str, str]:
        return {call.read_id: call.bases for call in Caller(model_of("fast", run.scratch), **options).calls(chosen)}

    def agreement(chosen: list[Any]) -> dict[str, Any]:
        here, there = bases(chosen, device=run.device), bases(chosen, engine="torch")
        return {"reads": len(there), "least identity": min(identity(here[read], there[read]) for read in there)}

    def right() -> dict[str, Any]:
        called = bases(records, device=run.device)
        pairs = [(called[record.read_id], truth) for record, truth in zip(records, truths, strict=True)
                 if record.read_id in called]  # fmt: skip
        return {"reads": len(pairs), "mean identity": statistics.mean(identity(*pair) for pair in pairs)}

    def network(stored: Any, batch: int) -> dict[str, Any]:
        stride = int(stored.facts["stride"])
        size = calling_chunks(stored.recipe.chunks or Chunks(), stride).samples
        engine: Any = choose(stored, run.device, batch_size=batch, size=size, name="auto")
        room = getattr(engine, "room", lambda frames: np.empty((frames, engine.symbols), np.float32))
        x, lengths = np.random.default_rng(0).normal(size=(batch, size)).astype(np.float32), np.full(batch, size)
        wanted = [[(0, size // stride, room(size // stride))] for _ in range(batch)]
        took = seconds_of(lambda: engine.score(x, lengths, wanted), run)
        return {"engine": engine.name, "samples/s": x.size / took}

    def whole(stored: Any, batch: int, engine: str) -> dict[str, Any]:
        caller = Caller(stored, device=run.device, batch_size=batch, threads=threads, engine=engine)
        list(caller.calls(records))
        took, memory = peak(run.device, lambda: list(caller.calls(many)))
        return {"samples/s": sum(len(record.raw) for record in many) / took, **memory}

    yield tried("fast, same as on the CPU", agreement, records[:4])
    yield tried("fast, identity on simulated reads", right)
    for name in ("fast", "hac"):
        stored = model_of(name, run.scratch)
        for batch in run.sizes.batches:
            yield tried(f"{name}, network alone, {batch} chunks", network, stored, batch)
            for engine in ("auto", "torch") if batch == run.sizes.batches[0] else ("auto",):
                yield tried(f"{name}, calls in memory, {engine}, {batch} chunks", whole, stored, batch, engine)


def command(run: Run, *words: object) -> float:
    """Return the seconds of a command of biorrn, with start-up."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "biorrn", *map(str, words)], capture_output=True, text=True, cwd=ROOT)
    took = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return took


def process(run: Run) -> Iterator[Row]:
    """The command `biorrn basecall` from file to file, with start-up."""
    from biorrn.nanopore.simulate.writers import open_signal

    def timed(name: str, path: Path, total: int) -> dict[str, Any]:
        model = FAST if name == "fast" else model_of(name, run.scratch).path
        batch, threads = run.sizes.batches[-1], min(8, os.cpu_count() or 1)
        options = ("--device", run.device.type, "--batch-size", batch, "--threads", threads, "--allow-empty")
        took = command(run, "basecall", path, "--model", model, *options, "-o", run.scratch / "calls.fastq")
        return {"s": took, "samples/s": total / took}

    records, _ = simulated(run.sizes.reads)
    for chosen in (records[:1], repeated(records, run.sizes.called)):
        path, total = run.scratch / f"{len(chosen)}.blow5", sum(len(record.raw) for record in chosen)
        with open_signal(path) as write_read:
            for record in chosen:
                write_read(record)
        for name in run.sizes.commands:
            yield tried(f"{name}, {len(chosen)} reads, {total} samples", timed, name, path, total)


def labelled(path: Path, segments: int, samples: int) -> None:
    """Write a prepared file of made-up reads: a level a base, ten samples a base."""
    from biorrn.sequences.prepared.files import signal_writer

    rng = np.random.default_rng(0)
    levels = np.array([0.0, -1.5, -0.5, 0.5, 1.5])
    with signal_writer(path, "medmad", 4000.0, "truth") as writer:
        for number in range(segments):
            bases = rng.integers(1, 5, samples // 10).astype(np.uint8)
            signal_ = np.repeat(levels[bases], 10) + rng.normal(0, 0.2, 10 * len(bases))
            split = int(number >= segments - 2)
            writer.add(f"r{number}", signal_.astype(np.float32), bases, np.arange(len(bases)) * 10, split=split)


def training(run: Run) -> Iterator[Row]:
    """Samples a second of the training loop, in its second epoch."""
    from biorrn.config.recipe import load_recipe
    from biorrn.training.task import load_task
    from biorrn.training.train import train

    def epochs(name: str, rows: int, precision: str) -> dict[str, Any]:
        plain, folder = load_recipe(name), run.scratch / f"{name}_{rows}_{precision}"
        chunks = plain.chunks.model_copy(update={"epoch": rows * run.sizes.steps})
        settings = plain.training.model_copy(update={"epochs": 2, "batch_size": rows, "precision": precision})
        recipe = plain.model_copy(update={"training": settings, "chunks": chunks})
        task = load_task("basecalling")
        _, memory = peak(run.device, lambda: train(recipe, prepared, folder, task, device=run.device.type))
        head, *lines = (folder / "history.tsv").read_text().splitlines()
        last = dict(zip(head.split("\t"), lines[-1].split("\t"), strict=True))
        rate = chunks.epoch * chunks.samples / float(last["seconds"])
        return {"samples/s": rate, "loss": float(last["train_loss"]), **memory}

    prepared = run.scratch / "signal.h5"
    labelled(prepared, 24, 40_000 if run.device.type == "cuda" else 6_000)
    for name, rows, precision in run.sizes.trained:
        yield tried(f"{name}, {rows} rows, {precision}", epochs, name, rows, precision)


def proteins(run: Run) -> Iterator[Row]:
    """The command `biorrn predict stability`, with start-up, and the largest difference from the CPU."""
    rng = np.random.default_rng(0)
    path = run.scratch / "proteins.fasta"
    lengths = rng.integers(43, 51, run.sizes.proteins)
    drawn = rng.choice(np.frombuffer(b"ACDEFGHIKLMNPQRSTVWY", np.uint8), (len(lengths), 50))
    with path.open("w") as stream:
        for number, (row, length) in enumerate(zip(drawn, lengths, strict=True)):
            stream.write(f">p{number}\n{row[:length].tobytes().decode()}\n")
    values = {}

    def timed(device: str) -> dict[str, Any]:
        out = run.scratch / f"{device}.tsv"
        took = command(run, "predict", "stability", path, "-o", out, "--device", device)
        values[device] = np.array([float(text.split("\t")[1]) for text in out.read_text().splitlines()[1:]])
        return {"s": took, "proteins/s": run.sizes.proteins / took}

    for device in dict.fromkeys((run.device.type, "cpu")):
        yield tried(f"stability, {run.sizes.proteins} mini-proteins, {device}", timed, device)
    if len(values) == 2:
        yield "stability, difference from the CPU", {"largest": float(np.abs(np.subtract(*values.values())).max())}


# name -> what it does, and its most seconds; in order
ENTRIES: dict[str, tuple[Callable[[Run], Iterator[Row]], int]] = {
    "versions": (versions, 30),
    "tests": (tests, 90),
    "loss": (loss, 45),
    "decode": (decode, 45),
    "calling": (calling, 90),
    "training": (training, 75),
    "process": (process, 45),
    "proteins": (proteins, 30),
}


# -- one entry, in its own process --------------------------------------------------------------------------------


def child(name: str, out: Path, scratch: Path, seconds: float, dry: bool) -> None:
    """Run one entry and append its rows to rows.jsonl."""
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() and not dry else "cpu")
    if device.type == "cpu":
        torch.set_num_threads(min(2, torch.get_num_threads()))
    run = Run(device, TINY if dry else FULL, time.monotonic() + seconds, out, scratch)
    entry, _ = ENTRIES[name]
    for case, found in entry(run):
        append(out, name, case, found)
        if run.left <= 0:
            append(out, name, "the rest", {"failed": "no time left"})
            break
    memory = {"peak memory, MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}
    if device.type == "cuda":
        memory["peak GPU memory reserved, MiB"] = torch.cuda.max_memory_reserved() / 2**20
    append(out, name, "memory", memory)


def append(out: Path, entry: str, case: str, found: dict[str, Any]) -> None:
    """Append a row to rows.jsonl and print it."""
    with (out / "rows.jsonl").open("a") as stream:
        stream.write(json.dumps({"entry": entry, "case": case, **found}) + "\n")
    print(line(entry, case, found), flush=True)


def line(entry: str, case: str, found: dict[str, Any]) -> str:
    """Return a row as text.

    >>> line("loss", "k 3", {"ms": 1.25, "frames/s": 2e6, "failed": "no"})
    'loss       k 3                                                  ms 1.25; frames/s 2,000,000; failed no'
    """
    shown = [f"{name} {_shown(value)}" for name, value in found.items()]
    return f"{entry:10} {case:52} {'; '.join(shown)}"


def _shown(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


# -- all entries --------------------------------------------------------------------------------------------------


def supervise(name: str, out: Path, scratch: Path, seconds: float, dry: bool) -> None:
    """Run an entry in a process, and end it with all that it started when its time is up."""
    command = [sys.executable, __file__, "-o", str(out), "--child", name, "--scratch", str(scratch)]
    command += ["--seconds", str(seconds), *(["--dry-run-cpu"] if dry else [])]
    path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    started = subprocess.Popen(command, start_new_session=True, env={**os.environ, "PYTHONPATH": path})
    try:
        if code := started.wait(seconds + 5):  # an entry ends by itself after the row at which time is up
            append(out, name, "the rest", {"failed": f"exit code {code}"})
    except subprocess.TimeoutExpired:
        append(out, name, "the rest", {"failed": f"no end after {seconds:.0f} s"})
    finally:
        if started.poll() is None:
            os.killpg(started.pid, signal.SIGKILL)
            started.wait()


def write(out: Path) -> None:
    """Write results.json and results.txt from rows.jsonl."""
    rows = [json.loads(text) for text in (out / "rows.jsonl").read_text().splitlines()]
    with atomic_path(out / "results.json") as path:
        Path(path).write_text(json.dumps(rows, indent=1) + "\n")
    texts = []
    for row in rows:
        texts.append(line(row.pop("entry"), row.pop("case"), row))
    with atomic_path(out / "results.txt") as path:
        Path(path).write_text("\n".join(texts) + "\n")


def has_gpu() -> bool:
    """Return whether torch sees a GPU; asked in a process of its own, so that this one holds none."""
    asked = "import sys, torch; sys.exit(not torch.cuda.is_available())"
    return subprocess.run([sys.executable, "-c", asked]).returncode == 0


def main() -> None:
    """Run the entries one after another."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    parser.add_argument("--entries", nargs="+", choices=ENTRIES, default=list(ENTRIES))
    parser.add_argument("--seconds", type=float, default=450.0, help="most of the whole run")
    parser.add_argument("--dry-run-cpu", action="store_true", help="tiny forms on the CPU")
    parser.add_argument("--child", choices=ENTRIES, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    if options.child:
        child(options.child, options.output, options.scratch, options.seconds, options.dry_run_cpu)
        return
    begun = time.monotonic()
    dry = options.dry_run_cpu or not has_gpu()
    (options.output / "rows.jsonl").write_text("")
    with tempfile.TemporaryDirectory() as scratch:
        for name in options.entries:
            left = (10 if dry else 1) * options.seconds - (time.monotonic() - begun)
            if left < 10:
                append(options.output, name, "all", {"failed": "left out: no time left"})
            else:
                most = ENTRIES[name][1] * (5 if dry else 1)  # no dry run fails because a machine is busy
                supervise(name, options.output, Path(scratch), min(most, left - 5), dry)
            write(options.output)
    print(f"{time.monotonic() - begun:.0f} s; results in {options.output}")


if __name__ == "__main__":
    main()
