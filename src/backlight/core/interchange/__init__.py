"""Runs from relevance that other tools computed, and results for tools that read tables and arrays."""
