"""Tables: text with any separator, Excel workbooks, parquet.

- excel: sheets of Excel workbooks
- numbers: numbers with decimal commas, units, errors and bounds
- reader: format, header, columns and rows of a table
- targets: rows with ids, sequences and measured values
- writer: tables of results in TSV, CSV, Excel or parquet
"""
