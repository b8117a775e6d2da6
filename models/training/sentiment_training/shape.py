"""The shape of the encoders that are trained here."""

WIDTH = 384
HEADS = 12
