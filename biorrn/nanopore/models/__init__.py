"""Model folders of other basecallers: Dorado's and Bonito's, read as data, never executed."""
