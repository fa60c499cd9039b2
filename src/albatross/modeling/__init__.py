"""The model in torch: embeddings, shared encoder, heads. It never hears of text."""
