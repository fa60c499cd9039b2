"""Files to named numpy arrays and back. No modules, no torch."""
