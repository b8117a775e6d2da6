"""Preparation of ONNX text classifiers for sentiment-server: mapped weights, int8, and batches without padding."""
