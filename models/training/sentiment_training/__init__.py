"""Trains the default model, and measures it."""
