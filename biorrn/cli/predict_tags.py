"""`biorrn predict` with a model that gives a state, or values, at each residue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from biorrn.models.store import Stored


def predict_tags(
    stored: Stored,
    sequences: str,
    output: str,
    *,
    format: str | None,
    figure: str | None,
    summary: str | None,
    strict: bool,
    columns: dict[str, Any],
    settings: dict[str, Any],
) -> None:
    """Tag the sequences of a file; `columns` says where a table has them, `settings` how the model is run."""
    from contextlib import ExitStack

    from biorrn.evaluation.figures_structure import MOST, structure_file
    from biorrn.inference.predict import doubts
    from biorrn.inference.protein_input import read_proteins
    from biorrn.inference.tag_summary import TagTally, summary_table
    from biorrn.inference.tagging import tag, tag_columns
    from biorrn.inference.writers.taggings import Layout, open_taggings
    from biorrn.progress import progress
    from biorrn.readers.fields import stop

    states, names = tag_columns(stored)
    called = stored.facts.get("state_names") or names
    tally = TagTally(states, called)
    records = read_proteins(
        sequences,
        alphabet=stored.facts.get("alphabet"),
        **columns,
        on_problem=stop if strict else tally.skip_record,
        on_repeat=None if strict else tally.repeat,
        keep=True,
    )
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
                tally.outside(found.id, reasons)
            advance(len(found.sequence))
        tally.require("sequences", f"{sequences}: holds no sequence that can be tagged")
    tally.say_outside(stored.path.name, str(stored.facts.get("inputs", "")), None, "sequences")
    if not drawn:
        tally.say(f"{figure}: shows the first {MOST} sequences")
    tally.close()
