"""The choices of validation rows made again without some of them, so that these can calibrate intervals."""

from __future__ import annotations

MEMBERS = "members"  # folder of an ensemble's members, as `training.ensemble` names it
