"""What training will see, before it is trained on: samples, their figures, and a probe of them."""
