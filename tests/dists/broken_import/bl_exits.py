"""Ends the interpreter while it is imported."""

raise SystemExit("goodbye")
