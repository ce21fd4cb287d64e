"""Compute kernels: the hot loops, each with a plain reference.

ctc/      CTC loss, greedy and beam search decoding
crf/      CTC-CRF loss and decoding over k-mer states
chain     linear-chain conditional random field of taggers
align     forced alignment of a known sequence, for CTC and CTC-CRF
distance  edit distance and alignment columns of two sequences
lstm      LSTM, dense and convolution layers on the CPU, float32 and bfloat16
gated     gated recurrent units without a fused kernel in torch
mingru    minimal GRU as a scan over time
"""
