"""Exporting: from a model folder to what runs without torch."""
