"""Relevance as pictures: colour maps, grids, captions."""
