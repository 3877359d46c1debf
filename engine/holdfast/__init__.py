"""Engine of holdfast: content-addressed, deduplicating, encrypted backups.

Nothing is imported here, so that a command which only prints its version starts fast. Start
reading at `holdfast.operations`; the layers are drawn in docs/architecture.md.
"""
