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
    length, found = len(record.sequence), list[str]()
    if length == 0:
        found.append("empty")
    if record.unknown > 0 or "X" in record.sequence:
        found.append("unknown_residues")
    if 0 < length < facts.get("min_length", 0):
        found.append("shorter_than_training")
    if length > facts.get("max_length", length):
        found.append("longer_than_training")
    if record.changes:
        found += [name for name in ("modifications_removed", "id_given_before") if name in record.changes]
    if facts.get("reference"):
        found += [name for name, holds in _variant_flags(record.sequence, facts).items() if holds]
    return found


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
