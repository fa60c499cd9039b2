"""From files to packed batches: documents, shards, samples and records. Numpy alone, no torch."""
