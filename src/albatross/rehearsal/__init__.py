"""Texts for the rehearsal: a small corpus written for it, and a grammar that composes more.

`albatross demo` learns everything it shows from these. Nothing composed is stored: a count and a
seed make it again, to the letter.
"""
