"""How good a model is on a file of labelled records, in figures and on a page. No torch."""
