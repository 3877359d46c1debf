"""The repository: objects by name, the blob index, writing packs, reading blobs."""
