"""Raises while it is imported, in more than one line."""

raise RuntimeError("the licence\nhas expired")
