"""Snapshots as a file system, by FUSE: `mount` is the way in."""
