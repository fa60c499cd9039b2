"""Text to ids and back: normalisation, vocabularies, their training; no models, no corpora."""
