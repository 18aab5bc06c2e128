"""NetworkPolicies judged for real: cyclonus' cases, probed through real packets, compared with the judge's verdicts.

``python -m e2e.netpol --spread`` runs a fixed spread of the cases, ``--all`` every one. README.md has the rest.
"""
