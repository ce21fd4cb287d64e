"""HTML report of evaluations, training runs, data sets, samples and cost.

page.py : the page; `render` and `write_report`.
report.html, report_parts.html : its templates: section headings and all fixed text. report.css, report.js beside them.
wording.py : sentences with numbers in them, numbers as text; the one on baselines is `stats.baselines.headline`.
entries.py : runs: evaluation, training and cost of each, and the overview of all.
sections.py : data sets, samples of reads, predictions of finished models.
figures.py : figures and their captions.
tables.py : any JSON mapping as tables, lists and histograms.
cost.py : Snakemake's benchmark files.
"""
