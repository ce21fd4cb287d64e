"""Statistics that know no domain.

metrics.py : Spearman, Pearson, RMSE, MAE, R²; names of all metrics.
classification.py : accuracy, macro F1, Matthews correlation, confusion, reliability.
bootstrap.py : bootstrap and Wilson intervals.
baselines.py : comparison of a model with baselines.
results.py : result files of evaluations.
counts.py : distributions of whole numbers.
figures.py : style and files of figures.
"""
