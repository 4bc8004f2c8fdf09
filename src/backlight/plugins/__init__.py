"""Built-in plugins, found through the entry points in pyproject.toml like any other."""
