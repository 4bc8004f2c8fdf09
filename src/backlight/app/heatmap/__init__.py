"""Heatmaps of single pictures: ways to explain, what they give for each picture, one file to write."""
