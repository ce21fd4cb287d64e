"""LSTM, dense and convolution layers of a trained model on the CPU.

layers     packed layers: dispatch to the compiled kernels
native     the compiled library: instruction sets, kinds of numbers, calls
native.c   kernels in C, with layers.h, property.h and vectors.h, for several instruction sets
property   a property model of proteins but its head, in one call
reference  the same layers in plain numpy
"""
