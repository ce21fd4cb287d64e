"""Commands of `biorrn evaluate`.

app          regression, classification, basecalls, tagging, language, translation, and the group of commands
compare      compare: two models on the same rows
table        table and sweep: several evaluations
"""
