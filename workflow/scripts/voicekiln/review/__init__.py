"""The page on which people go through the segments of a corpus."""
