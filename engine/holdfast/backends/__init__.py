"""Storage: dumb stores of named immutable objects behind one protocol (`base.Backend`).

`registry.open_backend` turns a location into a backend; wrappers (`retry`, `dryrun`) add
behaviour around any of them. Nothing here knows what a pack or a snapshot is.
"""
