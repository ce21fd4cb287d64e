"""Basecalling models: those available, and the model folders of Dorado and Bonito, read as data."""
