"""Databases as sources: what to run, what of it to store, how to restore and to verify it."""
