"""Baselines of protein properties.

fit.py : names of the baselines, fitting, comparison with a model.
classical.py : mean, length, ridge, nearest neighbour, forests, support vector machine, site trees.
networks.py : dense layers, one convolution.
problem.py : the input of every baseline.
"""
