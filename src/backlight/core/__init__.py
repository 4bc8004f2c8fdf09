"""Contracts and machinery that know no concrete plugin."""
