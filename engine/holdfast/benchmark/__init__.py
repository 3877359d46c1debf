"""Measuring: what deduplication would save on given data, and how fast this machine is."""
