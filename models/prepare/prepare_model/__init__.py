"""Preparation of ONNX text classifiers for sentiment-server: mapped weights, int8, and batches without padding."""

import os

# Before NumPy is imported: on a machine that is busy, threads of its products spin while they wait for each other, and
# a check that takes seconds takes minutes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
