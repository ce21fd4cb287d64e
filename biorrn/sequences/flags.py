"""From protein records to predicted values, streamed, in the order of the input."""

from __future__ import annotations

from biorrn.sequences.records import ProteinRecord

FEW = 0.05  # of the residues of a protein, by which a variant is longer or shorter


FAR = 0.3  # of the residues of a protein: what differs by more is no variant of it


# so are these of a model without a measure of novelty, which counts the length in: among the rows that calibrate, too,
# some are a little longer than all that trained
LENGTHS = ("shorter_than_training", "longer_than_training")


LEFT_OUT = "left_out"  # flag of a record that cannot be used, before the flag that says why


def flags(record: ProteinRecord, facts: dict) -> list[str]:
    """Return the reasons to doubt a prediction for `record`, given what the model was trained on.

    A record that cannot be used has "left_out" and why.
    """
    if record.problem:
        return [LEFT_OUT, record.problem]
    length = len(record.sequence)
    doubts = {
        "empty": length == 0,
        "unknown_residues": record.unknown > 0 or "X" in record.sequence,
        "shorter_than_training": 0 < length < facts.get("min_length", 0),
        "longer_than_training": length > facts.get("max_length", length),
        **{name: name in record.changes for name in ("modifications_removed", "id_given_before")},
        **_variant_flags(record.sequence, facts),
    }
    return [name for name, holds in doubts.items() if holds]


def _variant_flags(sequence: str, facts: dict) -> dict[str, bool]:
    """Return the doubts about a sequence as a variant of the protein whose variants the model was trained on."""
    reference, most = facts.get("reference"), facts.get("most_mutations")
    if not reference or most is None or not sequence:
        return {}
    if len(sequence) == len(reference):
        changed = sum(a != b for a, b in zip(sequence, reference, strict=True))
    else:
        shift = abs(len(sequence) - len(reference))
        if facts.get("min_length", 0) <= len(sequence) <= facts.get("max_length", 0):
            changed = shift  # trained on variants of other lengths
        else:
            changed = most + shift if shift <= FEW * len(reference) else len(reference)
    far = changed > max(most, FAR * len(reference))
    return {"more_mutations_than_training": most < changed and not far, "not_a_variant": far}
