"""Preset composites: which rule explains which operation."""
