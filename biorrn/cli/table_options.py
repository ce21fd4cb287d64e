"""Options of commands that read a table of proteins, worded once."""

from typing import Annotated

import typer

Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN", help="Of a table: the column that holds the target; repeatable."),
]
WildType = Annotated[
    str | None,
    typer.Option(metavar="FASTA|SEQUENCE|COLUMN", help="Of a table of mutations: what they are applied to."),
]
AppliedTo = Annotated[
    str | None,
    typer.Option(metavar="FASTA|SEQUENCE|COLUMN", help="What the mutations of the table are applied to."),
]
Offset = Annotated[int, typer.Option(help="Of mutations: number of the first residue, less 1.")]
Sheet = Annotated[str | None, typer.Option(help="Of an Excel workbook: name or number; default: the first.")]
