"""Writes a new plugin package from templates; see new.py."""
