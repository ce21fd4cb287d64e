"""The next round of a protein-engineering campaign (`biorrn suggest`).

acquisition : choice of a batch: upper confidence, expected improvement, Thompson sampling, greedy.
campaign : what was measured, what is believed of candidates, the suggestions.
candidates : substitutions, combinations, lists; rules that they obey.
figures : prediction and uncertainty of a round, map of its substitutions.
plate : table of a round, layout with controls.
posterior : Gaussian process fitted to the measured rows.
"""
