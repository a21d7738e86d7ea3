"""Readers of texts with times, one module per format, and the rules that all of them share.

Parsers of our own: the packages for these formats (srt, webvtt-py, pysubs2, praatio, pympi) drop
or refuse what a file has wrong without naming its line, end a cue at an empty line, and parse XML
with entities.
"""
