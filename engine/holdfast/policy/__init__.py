"""Decisions without I/O: what to leave out, what is unchanged, which snapshot is meant."""
