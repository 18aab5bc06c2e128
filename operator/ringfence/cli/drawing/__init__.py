"""Graphs as pictures: ``plan`` says what is drawn, ``dot`` writes it for Graphviz, ``layout`` asks Graphviz where all
goes, and ``svg`` draws it.
"""
