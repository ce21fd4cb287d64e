"""Prediction intervals and novelty.

conformal.py : conformal prediction intervals.
confidence.py : calibration of a model from held-out rows.
replay.py : validation choices repeated without some rows, for calibration on validation rows.
novelty.py : distance from the training rows, relatives, mutants.
extra_intervals.py : intervals of proteins without a relative, and of differences between mutant and wild type.
coverage.py : coverage of intervals.
"""
