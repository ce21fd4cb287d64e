"""CTC-CRF over k-mer states.

loss       the loss: dispatch to the numba, Triton or reference kernel; layout of the scores
cpu        loss, gradient and decoding loops of a read in numba
gpu        loss and gradient in Triton
reference  loss and posteriors in plain torch
decode     posterior Viterbi decoding, beam search, alignment of a known sequence
"""
