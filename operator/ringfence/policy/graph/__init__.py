"""Who may call whom as a graph: identities in their zones, edges with the ports that are open.

``draw`` makes it of a world, ``collapse`` makes a large one readable, ``compare`` marks what has changed.
"""
