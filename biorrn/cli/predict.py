"""`biorrn predict`: predict a property or a class of each protein, or a state of each residue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from biorrn.cli.options import Antisymmetric, BatchSize, Device, Embeddings, Level, Offset, Sheet, Threads, WildType

if TYPE_CHECKING:
    from biorrn.nn.store import Stored
    from biorrn.sequences.rows import TableOptions


def predict(
    model: Annotated[
        str, typer.Argument(help="Run folder of a model for regression, classification or tagging; or a shipped one.")
    ],
    proteins: Annotated[
        str | None,
        typer.Argument(
            help="FASTA (may be compressed; - is standard input), or a table (text, Excel, parquet) of sequences. "
            "With --mutations, the wild type; --wild-type may give it instead.",
            show_default=False,
        ),
    ] = None,
    output: Annotated[
        str,
        typer.Option(
            "--output", "-o", help="TSV, or .csv, .xlsx, .parquet by suffix; .gz compresses text; - is stdout."
        ),
    ] = "-",
    format: Annotated[
        str | None,
        typer.Option(
            help="Tagging: tsv, fasta (with a line of states), ss2 or jsonl. Default: by the output's suffix."
        ),
    ] = None,
    figure: Annotated[
        str | None, typer.Option(help="Tagging: draw the states along each sequence; .svg or .png.")
    ] = None,
    summary: Annotated[str | None, typer.Option(help="Tagging: also write a table with one row per sequence.")] = None,
    level: Level = 0.9,
    sequence_column: Annotated[
        str, typer.Option(help="For a table: the column of sequences, or of mutations.")
    ] = "sequence",
    wild_type: WildType = None,
    mutations: Annotated[
        str | None,
        typer.Option(metavar="LIST|FILE", help="Predict these mutants of the protein, e.g. 'A23G,K41E:L12P'."),
    ] = None,
    offset: Offset = 0,
    antisymmetric: Antisymmetric = False,
    id: Annotated[
        str | None, typer.Option(help="For a table: the column of ids. Default: id, else rows are numbered.")
    ] = None,
    embeddings: Embeddings = None,
    sheet: Sheet = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Stop at the first unusable record or repeated id. Default: flag it.")
    ] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Resume an interrupted run, if there is one.")] = False,
    batch_size: BatchSize = 1024,
    device: Device = "auto",
    threads: Threads = None,
    precision: Annotated[
        str, typer.Option(help="On a CPU: auto, 32 or bf16. auto is integers of 16 bits, which are faster than 32.")
    ] = "auto",
) -> None:
    """Predict a property or a class of each protein, or a state of each residue.

    Writes one row per sequence, in input order: id, length, and for each target its value, the ends of its prediction
    interval (_lower, _upper), the disagreement of an ensemble's members (_spread), its unit (_unit) if known, then
    flags. Flags mark doubtful values: unknown_residues, shorter_than_training, longer_than_training, and proteins
    outside the training data: unlike_training, no_relative_in_training, more_mutations_than_training, not_a_variant.
    The interval of such a protein is the one calibrated for such proteins, or empty, and one line on standard error
    reports it. `biorrn models` describes what each model is for.

    A model of classes writes, after id and length, the most probable class, its probability, the conformal set (_set:
    the classes that hold the true one as often as --level says, joined by ;, or . where none is likely enough), then
    flags. Where a protein may have several classes: those that are called, joined by ;, the probability of each
    (_probabilities: a=0.93;b=0.2), and a set that misses at most 1 - level of the true ones in the mean.
    of_no_known_class marks a protein whose class is less probable than that of 90 % of those of known classes.

    A tagging model writes one row per residue: id, position (from 1), residue, state, and the probability of each
    state, or one column per value. With --format ss2 (PSIPRED), an output that ends in / is a folder with one file
    per protein.

    Selenocysteine, pyrrolysine and ambiguous letters become X. Gaps, modifications in brackets and a terminal stop
    codon are removed. A record is left out if it is empty, is DNA, has an internal stop codon, no id, or a character
    that is not a residue: its row has empty cells and the flags left_out and the reason. A record with a repeated id
    is kept and flagged id_given_before. --strict makes both an error. Other columns of a table are copied to the
    output. In the sequence column NA, NaN and none mean missing; write a peptide of these letters as FASTA.

    A table may hold mutations instead of sequences: A23G, A23G:K41E, p.Ala23Gly, A23del, WT, in a column named mutant,
    hgvs_pro or similar. --wild-type gives the protein: FASTA, a sequence, or a column of the table. The mutation
    becomes the id, unless the table has ids, and its column is copied. With --mutations, PROTEINS is the wild type. A
    model trained on mutations knows its wild type, which needs no option then.

    The model ddg predicts what substitutions, or the deletion of one residue, do to a protein, in kcal/mol: positive is
    more stable than the wild type. It needs mutations.

    \b
    Examples:
      biorrn predict stability proteins.fasta -o predictions.tsv
      biorrn predict runs/mine proteins.csv --sequence-column protein --level 0.95 -o predictions.parquet
      biorrn predict runs/family proteins.fasta --level 0.95 -o families.tsv
      biorrn predict runs/gb1 scan.csv -o predictions.tsv
      biorrn predict runs/gb1 --mutations "A24G,A24G:K28R,D47del" -o chosen.tsv
      biorrn predict ddg --wild-type protein.fa --mutations "A24G,A24G:K28R" -o ddg.tsv
      biorrn predict ddg variants.csv --wild-type wt_sequence -o ddg.xlsx
      biorrn predict ddg pairs.csv --wild-type wt_seq --sequence-column mut_seq -o ddg.tsv
      zcat proteins.fa.gz | biorrn predict runs/stability - --threads 2 > predictions.tsv
      biorrn predict runs/structure proteins.fasta -o structure.fasta --figure structure.svg --summary content.tsv
    """
    from dataclasses import asdict
    from itertools import chain, islice

    from biorrn.base.compute import device_name, kind_of, set_threads
    from biorrn.base.errors import ConfigError, InputError, stop
    from biorrn.base.journal import open_kept
    from biorrn.base.terminal import progress
    from biorrn.nn.facts import wild_type_of
    from biorrn.proteins.classes.predict import open_classes, uncalibrated
    from biorrn.proteins.effects import checked
    from biorrn.proteins.predict import (
        columns_given,
        load_for,
        open_embeddings,
        open_predictions,
        refuse,
        target_names,
        units_of,
        widened,
    )
    from biorrn.proteins.predict import predict_windows as run
    from biorrn.proteins.predicted import Predicted
    from biorrn.sequences.embeddings import FLAG, Missing, joined
    from biorrn.sequences.rows import SEQUENCES, TableOptions, is_fasta, other_columns, read_mutants, read_proteins
    from biorrn.sequences.tally import Tally

    used = set_threads(threads)
    stored = load_for(model, embeddings) if mutations is not None or proteins is not None else None
    if mutations is not None and proteins is None and stored is not None:
        proteins, wild_type = wild_type or wild_type_of(stored.facts) or None, None
    if proteins is None or stored is None:
        raise ConfigError("Missing argument 'PROTEINS': give FASTA or a table, or --wild-type with --mutations")
    where = device_name(device)
    opened, missing = open_embeddings(stored, embeddings, where), Missing()
    settings: dict[str, Any] = {"batch_size": batch_size, "device": where, "threads": used, "precision": precision}
    columns = TableOptions(sequence_column, id, sheet, wild_type, offset, wild_type_of(stored.facts))
    if stored.facts.get("task") == "tagging" and not stored.facts.get("effect"):
        if antisymmetric:
            raise ConfigError(f"--antisymmetric: needs a model of effects of substitutions, as ddg; found {model}")
        if mutations is not None:
            raise ConfigError("--mutations: needs a regression model; give a tagging model the mutants as a table")
        if resume:
            raise ConfigError("--resume: needs a regression model; predictions of a tagging model are not kept")
        _predict_tags(
            stored,
            proteins,
            output,
            format=format,
            figure=figure,
            summary=summary,
            strict=strict,
            columns=columns,
            settings=settings,
            opened=opened,
        )
        return
    classes = stored.facts.get("task") == "classification"
    names = [] if classes else target_names(stored, effects=True)
    if stored.facts.get("effect") and mutations is None and wild_type is None and is_fasta(proteins):
        problem = "is FASTA, and names no mutations"
        raise ConfigError(f"{proteins}: {problem}; give --mutations, or see biorrn scan for all single substitutions")
    refuse(stored, format=format, figure=figure, summary=summary)
    tally = Tally("predict", "sequences", "residues")
    given, note = ({}, uncalibrated(stored.facts, level)) if classes else columns_given(stored, level)
    on_problem = stop if strict else tally.skip_record
    if mutations is not None:
        if wild_type is not None:
            raise ConfigError(
                f"--wild-type: needs a table of mutations; --mutations apply to the proteins of {proteins}"
            )
        carried = ["mutation"]
        named = None if sequence_column == SEQUENCES[0] else sequence_column
        records = read_mutants(proteins, mutations, offset, column=named, sheet=sheet, on_problem=on_problem, keep=True)
    else:
        carried = other_columns(proteins, columns)
        records = read_proteins(
            proteins,
            columns,
            on_problem=on_problem,
            on_repeat=None if strict else tally.repeat,
            keep=True,
            carry=carried,
            say=tally.say,
        )
    if opened:
        records = joined(records, opened, missing, strict)
    if stored.facts.get("effect"):
        records = checked(records, proteins, on_problem)
    settings["antisymmetric"] = antisymmetric
    must = stored.settings(
        level=level,
        precision=precision,
        device=kind_of(where),
        mutations=mutations,
        antisymmetric=antisymmetric,
        embeddings=embeddings,
        **asdict(columns),
    )
    writing = (
        open_classes(output, stored.facts, level, carried)
        if classes
        else open_predictions(output, names, **given, units=units_of(stored.facts), carried=carried)
    )
    with (
        open_kept(output, proteins, must, resume) as kept,
        progress("predict", "sequences") as advance,
        writing as write,
    ):
        if kept.count:
            tally.say(f"resumed: {kept.count:,} sequences already predicted")
        fresh = run(stored, islice(tally.watched(records), kept.count, None), level=level, **settings)
        done = 0
        for found in chain(map(Predicted.restored, kept.items()), fresh):
            done += len(found)
            write(found)
            found.count(tally, stored.facts)
            if done > kept.count:
                kept.add(found.plain(), len(found))
                advance(len(found))
        if missing.count and not tally.done["sequences"]:
            raise InputError(proteins, missing.line([str(embeddings)]))
        tally.require("sequences", f"{proteins}: contains no sequence that can be predicted")
    wide = None if classes else widened(stored, level)
    tally.say_outside(model, str(stored.facts.get("inputs", "")), wide, "sequences")
    if missing.count:
        tally.say(missing.line([str(embeddings)]))
        tally.left_out[FLAG] += missing.count
    if note:
        tally.say(note)
    tally.report()


def _predict_tags(
    stored: Stored,
    sequences: str,
    output: str,
    *,
    format: str | None,
    figure: str | None,
    summary: str | None,
    strict: bool,
    columns: TableOptions,
    settings: dict[str, Any],
    opened: list[Any],
) -> None:
    """Predict a state, or values, of each residue; `columns` are options of a table, `settings` those of the model.

    `opened` are the embeddings that the model reads.
    """
    from contextlib import ExitStack

    from biorrn.base.errors import stop
    from biorrn.base.terminal import progress
    from biorrn.proteins.predicted import doubts
    from biorrn.sequences.embeddings import FLAG, Missing, joined
    from biorrn.sequences.rows import read_proteins
    from biorrn.tagging.figures import MOST, structure_file
    from biorrn.tagging.predict import Layout, TagTally, open_taggings, summary_table, tag, tag_columns

    states, names = tag_columns(stored)
    called = stored.facts.get("state_names") or names
    tally = TagTally(states, called)
    records = read_proteins(
        sequences,
        columns,
        alphabet=stored.facts.get("alphabet"),
        on_problem=stop if strict else tally.skip_record,
        on_repeat=None if strict else tally.repeat,
        keep=True,
    )
    missing = Missing()
    if opened:
        records = joined(records, opened, missing, strict)
    with ExitStack() as stack:
        draw = stack.enter_context(structure_file(figure, states, called))
        sum_up = stack.enter_context(summary_table(summary, states, names))
        write = stack.enter_context(open_taggings(output, Layout(states, names, stored.path.name), format))
        advance = stack.enter_context(progress("predict", "residues"))
        drawn = True
        for found in tag(stored, tally.watched(records), **settings):
            write(found)
            sum_up(found)
            if found.left_out:
                continue
            drawn &= draw(found)
            tally.take(found)
            if reasons := doubts(found.flags, stored.facts):
                tally.outside([found.id], reasons)
            advance(len(found.sequence))
        tally.require("sequences", f"{sequences}: contains no sequence that can be predicted")
    if missing.count:
        tally.say(missing.line([one.path for one in opened]))
        tally.left_out[FLAG] += missing.count
    tally.say_outside(stored.path.name, str(stored.facts.get("inputs", "")), None, "sequences")
    if not drawn:
        tally.say(f"{figure}: shows only the first {MOST} sequences")
    tally.close()
