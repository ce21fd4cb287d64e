"""Hidden states of recurrent networks.

states  hidden states of a model over sequences
units   correlation of units with properties along the sequence
files   output: HTML pages, figures, tables, arrays
"""
