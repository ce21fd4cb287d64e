"""Classification of proteins: one class for each sequence.

task.py : training task `classification`: data, loss, validation score.
calibration.py : temperature, conformal sets, and the flag of proteins of no known class.
predict.py : tables of predicted classes.
evaluate.py : metrics, confusion, calibration, coverage of sets.
baselines.py : majority, k-mers, nearest neighbour.
figures.py : confusion matrix, reliability diagram, baselines.
"""
