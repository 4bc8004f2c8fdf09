"""LRP rules, one family a file."""
