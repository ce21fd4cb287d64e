"""`biorrn basecall`."""

from pathlib import Path
from typing import Annotated

import typer


def basecall(
    paths: Annotated[list[Path], typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")],
    model: Annotated[str | None, typer.Option(help="Run folder or shipped id; default: the shipped one.")] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="FASTQ file, .gz compresses; - is stdout.")] = "-",
    decoder: Annotated[str, typer.Option(help="beam, or greedy: a little faster and less accurate.")] = "beam",
    batch_size: Annotated[
        int | None,
        typer.Option(help="Chunks a forward pass; default 64 on a CPU, 512 on a GPU. Changes the speed."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads; default: all that this process may use.")] = None,
    max_reads: Annotated[int | None, typer.Option(min=1, help="Stop after this many reads.")] = None,
) -> None:
    """Turn raw nanopore signal into bases.

    Writes FASTQ in the order of the input, with tags after each read's id (qs mean quality, ns samples, ts samples
    trimmed, ch channel, mx mux, rn read number, s0 start in samples). Folders are walked recursively. A file or read
    that cannot be used is reported and left out.

    \b
    Examples:
      biorrn basecall reads/ -o calls.fastq.gz
      biorrn basecall reads.pod5 --model runs/mine | minimap2 -ax map-ont -y reference.fa -
    """
    from itertools import islice

    from biorrn.device import choose_device, set_threads
    from biorrn.inference.basecall import basecall as run
    from biorrn.inference.defaults import default_batch_size, default_model
    from biorrn.inference.summary import Tally
    from biorrn.inference.writers import open_calls
    from biorrn.models.store import load_model
    from biorrn.progress import progress
    from biorrn.readers.signal import read_all

    used = set_threads(threads)
    stored = load_model(model or default_model())
    where = choose_device(device)
    tally = Tally("basecall", "reads", "samples", "bases")
    with progress("basecall", "samples") as advance, open_calls(output) as write:
        records = islice(read_all(paths, tally.skip_input), max_reads)
        calls = run(
            stored,
            records,
            device=where,
            batch_size=default_batch_size(where) if batch_size is None else batch_size,
            decoder=decoder,
            threads=used,
            on_skip=tally.skip_read,
            advance=advance,
        )
        for call in calls:
            write(call)
            tally.add(samples=call.samples, reads=1, bases=len(call.bases))
        tally.require("reads", "no read could be called")
    tally.report()
