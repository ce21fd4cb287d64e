"""`biorrn assemble`: assemble reads with minimap2, miniasm and racon."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from biorrn.cli.options import Name, Note
from biorrn.cli.outputs import write_evaluation


def assemble(
    reads: Annotated[
        Path,
        typer.Argument(help="Basecalled reads: FASTQ or FASTA, may be gzip, SAM, BAM or CRAM. - is FASTQ on stdin."),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for contigs.fasta, layout.gfa, assembly.json, log.txt, figures."),
    ],
    reference: Annotated[Path | None, typer.Option(help="FASTA to compare the contigs with.")] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Polishing rounds of racon.")] = 2,
    require_tools: Annotated[
        bool, typer.Option("--require-tools", help="Fail if a program is not installed. Default: write no contigs.")
    ] = False,
    name: Name = None,
    note: Note = "",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the programs.")] = 1,
) -> None:
    """Assemble reads with minimap2, miniasm and racon.

    minimap2 finds overlaps, miniasm computes the layout, racon the consensus. If a program is not on PATH, the contigs
    are empty and assembly.json gives the reason. If miniasm finds no layout, as for a small genome at low depth, it
    runs again and keeps reads with little coverage. With --reference: identity and errors of the contigs, the part of
    the reference covered, and a dot plot. The contigs can be the --reference of `biorrn prepare signal`.

    \b
    Examples:
      biorrn assemble calls.fastq.gz -o assembly/ --threads 8
      biorrn assemble calls.fastq.gz -o assembly/ --reference genome.fa --rounds 3
    """
    from biorrn.nanopore.reads.assemble import assemble as run
    from biorrn.nanopore.reads.assemble import assembly_figures, assembly_lines, describe_assembly
    from biorrn.sequences.fastq import reference_lengths
    from biorrn.sequences.tally import Tally

    def say(line: str) -> None:
        print(f"biorrn assemble: {line}", file=sys.stderr)

    if reference is not None:
        reference_lengths(reference)  # report a bad reference before the work
    tally = Tally("assemble", "reads")
    options: dict[str, Any] = {"rounds": rounds, "threads": threads, "require_tools": require_tools, "say": say}
    made = run(reads, output, on_problem=lambda problem: tally.skip_call(problem, reads), **options)
    content = describe_assembly(made, reads=reads, reference=reference, name=name or output.resolve().name, note=note)
    if made.skipped:
        say(f"skipped: {made.skipped}")
    result = output / "assembly.json"
    write_evaluation(result, content, output / "figures", lambda: assembly_figures(content), assembly_lines)
    if not made.contigs and not made.skipped:
        say(content["cautions"][-1])
