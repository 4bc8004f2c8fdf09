"""A run as one self-contained page that prints well.

cards.py     what is shown of a cluster: mean heatmap, mean picture, most typical samples
pictures.py  pictures and plots as data URIs and inline SVG
page.py      the page
"""
