"""The report of a run: facts from its files, rendered as one page."""
