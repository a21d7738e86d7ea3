"""Forced alignment of texts to audio by acoustic models that were trained with CTC."""
