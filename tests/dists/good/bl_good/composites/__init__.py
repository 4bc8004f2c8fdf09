"""Preset composites."""
