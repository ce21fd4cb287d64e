"""CTC-CRF over k-mer states.

loss       the loss: dispatch to the numba, Triton or reference kernel; layout of the scores
cpu        loss, gradient and decoding loops of a read in numba
gpu        loss, gradient and posterior Viterbi of many reads in Triton
reference  loss, posteriors and posterior Viterbi of many reads in plain torch
viterbi    posterior Viterbi of a read: dispatch to the compiled library, viterbi.h, or to numba
decode     posterior Viterbi, beam search, alignment of a known sequence, in numba
scores     check of scores; what decoding returns
"""
