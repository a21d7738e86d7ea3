"""Audio: decoding, loudness normalisation, segmentation and measures of recordings."""
