"""The verbs that make a corpus ready: train-tokenizer and build-shards. No torch, no models."""
