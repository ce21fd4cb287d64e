"""Lines about an evaluation of classes by a model that was never calibrated."""

from biorrn.stats.results import class_lines


def test_class_lines_without_sets() -> None:
    part = {"value": 0.5, "low": 0.1, "high": 0.9, "n": 6}
    content = {"kind": "classification", "confidence": {"calibration_error": 0.2}, "flagged": {"known classes": part}}
    lines = class_lines(content)
    assert lines[0] == "calibration error of the probabilities: 0.200"
    assert len(lines) == 2
