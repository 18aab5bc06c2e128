"""Who may call whom as a graph: identities in their zones, edges with the ports that are open.

``draw`` finds what is open in a world, ``join`` says it in fewer edges, ``collapse`` puts both together, makes a large
graph readable and marks what has changed between two worlds.
"""
