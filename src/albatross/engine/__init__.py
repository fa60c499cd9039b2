"""Engines: from a packed batch to named arrays, on torch or on ONNX Runtime."""
