"""`biorrn assemble`."""

from pathlib import Path
from typing import Annotated

import typer


def assemble(
    reads: Annotated[Path, typer.Argument(help="FASTQ or FASTA, may be gzip, or SAM, BAM, CRAM; - is FASTQ.")],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for contigs.fasta, layout.gfa, assembly.json, log.txt, figures."),
    ],
    reference: Annotated[Path | None, typer.Option(help="FASTA to compare the contigs with.")] = None,
    rounds: Annotated[int, typer.Option(min=0, help="Rounds of consensus by racon.")] = 2,
    require_tools: Annotated[
        bool, typer.Option("--require-tools", help="A program that is not installed is an error; else nothing is done.")
    ] = False,
    name: Annotated[str | None, typer.Option(help="What the report calls it; default: the name of the folder.")] = None,
    note: Annotated[str, typer.Option(help="Shown beside the numbers, e.g. that the data is simulated.")] = "",
    threads: Annotated[int, typer.Option(min=1, help="Threads of the programs.")] = 1,
) -> None:
    """Assemble reads to contigs with minimap2, miniasm and racon, where these are installed.

    minimap2 finds the overlaps, miniasm lays the reads out, racon makes the consensus. Where a program is not on PATH
    the contigs are empty and assembly.json says why. Where miniasm lays out nothing, as of a small genome at low depth,
    it is asked once more to keep reads that few others cover. With a reference: identity and errors of the contigs,
    what part of it they cover, and a dot plot. The contigs serve as --reference of biorrn prepare signal.

    \b
    Examples:
      biorrn assemble calls.fastq.gz -o assembly/ --threads 8
      biorrn assemble calls.fastq.gz -o assembly/ --reference genome.fa --rounds 3
    """
    import sys

    from biorrn.evaluation.assembly import assembly_lines, describe_assembly
    from biorrn.evaluation.described import write_result
    from biorrn.evaluation.figures import save_drawings
    from biorrn.evaluation.figures_assembly import assembly_figures
    from biorrn.inference.assemble import assemble as run
    from biorrn.readers.reference import reference_lengths

    def say(line: str) -> None:
        print(f"biorrn assemble: {line}", file=sys.stderr)

    if reference is not None:
        reference_lengths(reference)  # a reference that is none is said before the work
    made = run(reads, output, rounds=rounds, threads=threads, require_tools=require_tools, say=say)
    content = describe_assembly(made, reads=reads, reference=reference, name=name or output.resolve().name, note=note)
    result = output / "assembly.json"
    content["figures"] = save_drawings(assembly_figures(content), output / "figures", result)
    write_result(result, content)
    if made.skipped:
        say(f"skipped: {made.skipped}")
    for line in assembly_lines(content):
        print(line)
    if not made.contigs and not made.skipped:
        say(content["cautions"][-1])
