"""The report of a run: facts gathered from its files, drawn and rendered as one page."""
