"""Options and arguments shared by several commands."""

from pathlib import Path
from typing import Annotated

import typer

# -- how a model runs ------------------------------------------------------------------------------------------------

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Threads = Annotated[int | None, typer.Option(help="CPU threads. Default: all that this process may use.")]
BatchSize = Annotated[int, typer.Option(help="Sequences per forward pass. Affects speed only, not the results.")]
ChunkBatch = Annotated[
    int | None,
    typer.Option(help="Chunks per forward pass. Default: 96 on a CPU, 256 on a GPU. Affects speed only."),
]
Level = Annotated[float, typer.Option(help="Coverage of the prediction intervals, 0.5 to 0.99.")]
Member = Annotated[int, typer.Option(help="Which network of an ensemble, counted from 1.")]

# -- where models lie ------------------------------------------------------------------------------------------------

ModelsDir = Annotated[
    list[Path] | None,
    typer.Option(help="Folder of model folders, before those of the variable BIORRN_MODELS. Repeatable."),
]

# -- inputs ----------------------------------------------------------------------------------------------------------

PropertyModel = Annotated[str, typer.Argument(help="Run folder of a regression model, or the name of a shipped one.")]
StateModel = Annotated[
    str, typer.Argument(help="Run folder or shipped name of a model for language, regression or tagging.")
]
Fasta = Annotated[str, typer.Argument(help="Protein sequences: FASTA, may be compressed. - is standard input.")]
Sequences = Annotated[str, typer.Argument(help="FASTA, a table, or a prepared file (.h5). - is standard input.")]
SignalPaths = Annotated[list[Path], typer.Argument(help="FAST5, POD5, SLOW5 or BLOW5 files, or folders of them.")]
CalledReads = Annotated[
    Path, typer.Argument(help="Basecalled reads: FASTQ (may be gzip), SAM, BAM or CRAM. - is stdin.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first unusable record. Default: skip it and report it.")
]
Split = Annotated[str, typer.Option(help="Rows of a prepared file: train, valid, test or all.")]

# -- tables of proteins ----------------------------------------------------------------------------------------------

Columns = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME=COLUMN", help="For a table: the column that holds the target. Repeatable."),
]
Target = Annotated[list[str] | None, typer.Option(help="Column to predict: numbers (repeatable), or one of classes.")]
TargetType = Annotated[
    str,
    typer.Option(
        help="number, class, set (several classes a protein, as a;b), or auto: words that repeat are classes."
    ),
]
Targets = Annotated[str | None, typer.Option(help="For FASTA input: table of measured values, joined by id.")]
SequenceColumn = Annotated[
    str | None, typer.Option(help="Column of sequences or mutations. Default: detected from the column names.")
]
IdColumn = Annotated[str | None, typer.Option(help="Column of ids. Default: id if there is one, else row1, row2, ...")]
Weight = Annotated[str | None, typer.Option(help="Column with the weight of each protein in the loss.")]
WildType = Annotated[
    str | None,
    typer.Option(metavar="FASTA|SEQUENCE|COLUMN", help="For a table of mutations: the wild type they apply to."),
]
Antisymmetric = Annotated[
    bool,
    typer.Option(
        "--antisymmetric",
        help="Of ddg: exchanging wild type and mutant changes the sign; for pairs of which neither is the natural one.",
    ),
]
Offset = Annotated[int, typer.Option(help="For mutations: number of the first residue, minus 1.")]
Sheet = Annotated[str | None, typer.Option(help="For an Excel workbook: sheet name or number. Default: the first.")]
Decimal = Annotated[
    str | None, typer.Option(help="Decimal separator, point or comma. Default: detected from the numbers.")
]

Embeddings = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|MODEL",
        help="Embeddings by a language model: .h5, .npz, .pt or a table; or the model that makes them, see embed plm.",
    ),
]

# -- outputs ---------------------------------------------------------------------------------------------------------

Table = Annotated[
    str,
    typer.Option("--output", "-o", help="Output table: .tsv, .csv (.gz compresses), .xlsx or .parquet. - is stdout."),
]
ProteinFigure = Annotated[
    str | None,
    typer.Option(help="Figure to write: .svg or .png; or a folder for one figure per protein, named by its id."),
]
Prepared = Annotated[Path, typer.Option("--output", "-o", help="HDF5 file to write.")]
Report = Annotated[Path | None, typer.Option(help="JSON file to write: rows kept, dropped and shared between splits.")]
ExportFasta = Annotated[
    list[str] | None, typer.Option(metavar="SPLIT=PATH", help="Also write a split as FASTA. Repeatable.")
]
FileNote = Annotated[str, typer.Option(help="Note stored in the file and the report, e.g. that the data is synthetic.")]
SplitSeed = Annotated[int, typer.Option(min=0, help="Seed of a random or cluster split.")]

# -- evaluations -----------------------------------------------------------------------------------------------------

EvaluationOutput = Annotated[Path, typer.Option("--output", "-o", help="JSON file to write. `biorrn report` reads it.")]
Figures = Annotated[Path | None, typer.Option(help="Folder for figures, each as SVG and PNG. Default: no figures.")]
Name = Annotated[str | None, typer.Option(help="Name in the report. Default: the name of the output.")]
Note = Annotated[str, typer.Option(help="Note shown beside the results, e.g. that the data is simulated.")]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the bootstrap and the baselines.")]
Baselines = Annotated[str, typer.Option(help="Baselines to fit on the training rows: all, fast, none, or NAME,NAME.")]
Runs = Annotated[list[Path] | None, typer.Option(help="Run folder of each evaluation, in the same order. Repeatable.")]
Drawings = Annotated[list[Path] | None, typer.Option(help="Figure to write: .svg or .png. Repeatable.")]
