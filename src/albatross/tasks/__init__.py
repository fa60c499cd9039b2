"""What a model is asked to do: records to examples, outputs to answers and scores. No torch."""
