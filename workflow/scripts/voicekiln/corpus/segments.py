"""Segments of one recording: where they are and how they sound."""
