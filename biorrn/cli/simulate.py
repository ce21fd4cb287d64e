"""`biorrn simulate`."""

from pathlib import Path
from typing import Annotated

import typer


def simulate(
    output: Annotated[Path, typer.Option("--output", "-o", help="Signal file to write: .pod5, .blow5 or .fast5.")],
    fasta: Annotated[Path | None, typer.Argument(help="DNA to sequence; gzip is recognised, - is stdin.")] = None,
    random_genome: Annotated[
        str | None, typer.Option(metavar="LENGTH[:GC]", help="Sequence random DNA instead of a FASTA.")
    ] = None,
    truth: Annotated[Path | None, typer.Option(help="TSV of which base is where; .gz compresses.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Also write the sequenced DNA as FASTA.")] = None,
    reads: Annotated[int | None, typer.Option(help="How many reads.")] = None,
    coverage: Annotated[float | None, typer.Option(help="Instead of --reads: times the bases of the DNA.")] = None,
    pore_model: Annotated[str, typer.Option(help="Id of a shipped pore model, or its TSV.")] = "dna_r9.4.1_6mer",
    length_mean: Annotated[float, typer.Option(help="Mean bases a read, of a gamma distribution.")] = 4000.0,
    length_shape: Annotated[float, typer.Option(help="Shape of that distribution; high: all alike.")] = 2.0,
    noise: Annotated[float, typer.Option(help="Factor on noise, jitter and drift; 0: bare levels.")] = 1.0,
    speed: Annotated[float | None, typer.Option(help="Bases a second; default: as the pore model has it.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same reads.")] = 0,
) -> None:
    """Simulate raw nanopore reads whose bases are known.

    Fragments of both strands get the levels of a pore model, dwells with a heavy tail, jitter from event to event,
    drift, correlated noise, the adapter's stall at the start, and digits. The truth table is one that
    `biorrn prepare signal --labels truth` reads.

    \b
    Examples:
      biorrn simulate genome.fa --coverage 10 -o sim.pod5 --truth sim.tsv
      biorrn simulate --random-genome 100000:0.4 --reads 200 --seed 7 -o sim.blow5 --truth sim.tsv --reference sim.fa
    """
    from contextlib import ExitStack

    from biorrn.errors import ConfigError
    from biorrn.inference.summary import Tally
    from biorrn.progress import progress
    from biorrn.simulation.genome import random_genome as draw_genome
    from biorrn.simulation.genome import read_genome, write_genome
    from biorrn.simulation.pore_model import load_pore_model
    from biorrn.simulation.signal_files import open_signal, open_truth
    from biorrn.simulation.simulate import Settings
    from biorrn.simulation.simulate import simulate as run

    settings = Settings(length_mean, length_shape, noise, speed)
    if (fasta is None) == (random_genome is None):
        raise ConfigError("FASTA and --random-genome: needed is one of them")
    genome = draw_genome(random_genome, seed) if random_genome is not None else read_genome(fasta or "")
    made = run(genome, load_pore_model(pore_model), settings, reads=reads, coverage=coverage, seed=seed)
    if reference is not None:
        write_genome(reference, genome)
    tally = Tally("simulate", "reads", "samples", "bases")
    with ExitStack() as stack:
        advance = stack.enter_context(progress("simulating", "samples"))
        write = stack.enter_context(open_signal(output))
        label = None if truth is None else stack.enter_context(open_truth(truth))
        for record, labels in made:
            write(record)
            if label is not None:
                label(record.read_id, labels)
            tally.add(reads=1, samples=len(record.raw), bases=len(labels.bases))
            advance(len(record.raw))
    tally.report()
