"""Evaluation of called reads against a reference.

basecalls      the evaluation as a whole: aligns reads, collects scores and figures
identity       identity and error rates by read, length and quality
reliability    predicted and observed error of base qualities
error_profile  errors by 3-mer, substitutions, homopolymers
squiggle       stretches of signal with called and reference bases
calibrate      fit of the quality calibration of a model
"""
