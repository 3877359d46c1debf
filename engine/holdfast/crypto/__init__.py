"""Keys and sealing: everything that keeps a repository secret and authentic."""
