"""Reversible rewrites for the time of an explanation, one family a file."""
