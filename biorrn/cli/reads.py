"""`biorrn reads`: list and check raw nanopore reads."""

import sys
from typing import Annotated

import typer

from biorrn.cli.options import SignalPaths


def reads(
    paths: SignalPaths,
    summary: Annotated[bool, typer.Option("--summary", help="Print counts instead of one row per read.")] = False,
    files: Annotated[
        bool, typer.Option("--files", help="Print the path of each file, in reading order, without opening it.")
    ] = False,
    output: Annotated[str, typer.Option("--output", "-o", help="TSV file; .gz compresses; - is stdout.")] = "-",
) -> None:
    """List and check raw nanopore reads.

    Prints one TSV row per read, in input order, with the chemistry given by its metadata. Folders are searched
    recursively, and formats can be mixed. The whole signal of each read is decoded, so that damage is found. Each
    damaged file is reported on standard error; then the exit code is 2, after all other reads were listed.

    \b
    Examples:
      biorrn reads run/ -o reads.tsv
      biorrn reads run/a.pod5 run/b.blow5 --summary
      biorrn reads archive/ --files -o files.txt      # for biorrn basecall --files files.txt --shard 3/8
    """
    from biorrn.base.errors import ConfigError, InputError
    from biorrn.base.files import tsv_line, write_text
    from biorrn.base.terminal import progress
    from biorrn.nanopore.readers.files import list_files, read_all
    from biorrn.nanopore.readers.summary import COLUMNS, Problems, Summary, row

    if files:
        if summary:
            raise ConfigError("--files and --summary: found both; allowed is one of them")
        with write_text(output) as out:
            for path in list_files(paths):
                print(path, file=out)
        return
    problems, totals = Problems(sys.stderr), Summary()
    with progress("reads", "samples") as advance, write_text(output) as out:
        for record in read_all(paths, problems, calibrated=False):
            if not totals.lengths and not summary:
                print(*COLUMNS, sep="\t", file=out)
            totals.add(record)
            if record.faults:
                problems(InputError(record.source, "; ".join(record.faults), record.read_id))
            if not summary:
                out.write(tsv_line(*row(record)))
            advance(len(record.raw))
        if summary:
            for name, value in totals.rows():
                out.write(tsv_line(name, value))
    if totals.repeats.count:
        print(f"biorrn: warning: {totals.repeats.line()}", file=sys.stderr)
    if problems.close():
        raise typer.Exit(2)
