"""Experiments on recurrent networks, apart from the prediction pipeline.

cell_comparison  recurrent cells at an equal number of parameters
long_memory      synthetic tasks with long time lags: adding, copying
gradient_flow    gradient norm against steps back in time
activations/     hidden states: which units respond to what
"""
