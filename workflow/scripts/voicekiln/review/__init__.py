"""The page for listening to and correcting the segments of a corpus."""
