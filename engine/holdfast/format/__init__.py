"""What is stored, byte by byte: one module for each kind of object, pure encode and decode.

docs/format.md is the normative text; nothing here does I/O. Whatever bytes come in, decoding
raises `IntegrityError` and nothing else.
"""
