"""Every verb's settings: frozen dataclasses that are command line, recipes and help at once."""
