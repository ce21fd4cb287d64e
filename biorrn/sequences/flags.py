"""Flags of a prediction: unusable records, unknown residues, unusual lengths, distant variants."""

from __future__ import annotations

from biorrn.sequences.records import ProteinRecord

FEW = 0.05  # part of the residues by which a variant may be longer or shorter
FAR = 0.3  # part of the residues: a sequence that differs by more is no variant
# of a model without a measure of novelty, which includes the length: some calibration rows too are a little longer than
# all training rows
LENGTHS = ("shorter_than_training", "longer_than_training")
LEFT_OUT = "left_out"  # flag of an unusable record, before the flag of the reason


def flags(record: ProteinRecord, facts: dict) -> list[str]:
    """Return the flags of a record, given the facts of the model; an unusable record has "left_out" and the reason."""
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
    """Return the flags of a sequence for a model that was trained on variants of one protein."""
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
