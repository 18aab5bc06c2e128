"""Who may call whom as a graph: identities in their zones, edges with the ports that are open.

``draw`` finds what is open in a world, ``join`` says it in fewer edges, ``collapse`` puts both together and makes a
large graph readable, ``compare`` marks what has changed.
"""
