"""Connectionist temporal classification (CTC).

loss       the loss: dispatch to the numba, torch or reference kernel
cpu        loss and gradient of a row in numba
reference  loss and beam search in plain torch and Python
decode     greedy and prefix beam search decoding
"""
