"""The user's files: the only package that reads sources and writes restored trees."""
