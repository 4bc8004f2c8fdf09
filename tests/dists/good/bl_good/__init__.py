"""A well-behaved plugin package with something of every kind."""
