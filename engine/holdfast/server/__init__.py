"""All snapshots over HTTP and WebDAV, read-only.

`app` is a WSGI application on `vfs`; `http_server` runs it. The protocol is small where nothing
can be written, and is spoken here: names of any bytes, folders with a million entries and damaged
pages are what general servers do not expect.
"""
