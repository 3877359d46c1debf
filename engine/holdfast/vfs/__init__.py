"""All snapshots of a repository as one tree of directories that can be looked into.

What `mount`, `serve-files` and `browse` show. `SnapshotFiles` is the way in.
"""
