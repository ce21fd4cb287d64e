"""Training on a user's table without a recipe (`biorrn train-table`).

run.py : the command: choose, train, evaluate, refit, report.
table.py : columns, usable rows, summary of the data.
partition.py : splits and folds.
choice.py : model and size.
search.py : hyperparameter search.
folds.py : cross-validation.
refit.py : refit of the measured model on all rows.
outputs.py : predictions, evaluation, figures and report of a run.
"""
