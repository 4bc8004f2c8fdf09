"""The self-test: would this pipeline have found an artefact in this data, had a network learnt it?

artefacts.py   what is planted: box, watermark, colour cast, frequency pattern
pictures.py    two classes of a folder in memory, one of them planted
network.py     a small network and its training, clean and poisoned
measures.py    found, F1 of the best cluster, agreement of neighbours
trial.py       one setting from pictures to figures
outcome.py     the figures as a table, CSV and two scatter plots
"""
