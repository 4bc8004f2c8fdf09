"""Panels of the explorer, one a file."""
