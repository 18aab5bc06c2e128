"""Real Kubernetes to test against: a whole node, or the API server alone, on any Linux machine.

`python -m e2e.cluster up` uses kind where a Docker engine answers. Elsewhere it builds Kubernetes from Go modules and
runs it on this machine, because tests against an imitation of Kubernetes prove nothing about Kubernetes.
"""
