"""Proteins: property regression, classification, mutational scans, explanations, uncertainty, baselines.

task.py : training task: data, losses, validation score.
prepare.py : prepared HDF5 file from a table or FASTA.
predictions.py : readers of prepared proteins, measured values and predictions; their join.
predict.py : prediction of sequences, and the table of predictions.
scan.py : mutational scans, and their table.
landscape.py : heat maps of scans.
evaluate.py : evaluation of predictions against measured values.
figures.py : figures of an evaluation.
compare.py : paired comparison of two models.
benchmark.py : table of several data sets and seeds beside published figures.
sweep.py : table of a parameter sweep.
embedding.py : k-mer embeddings.
baselines/ : classical and neural baselines.
classes/ : a class for each protein: task, calibration, predictions, evaluation.
explain/ : attributions and attention weights.
train_table/ : training on a user's table without a recipe.
uncertainty/ : prediction intervals, novelty, coverage.
"""
