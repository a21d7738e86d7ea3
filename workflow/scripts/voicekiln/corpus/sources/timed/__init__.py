"""Readers of texts with times, one module per format, and the rules that all of them share.

The packages for these formats (srt, webvtt-py, pysubs2, praatio, pympi) drop or reject malformed
parts without naming their line, end a cue at an empty line, and expand XML entities; hence these
parsers.
"""
