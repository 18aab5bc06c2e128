"""A test-only NetworkPolicy enforcer for the local node, which has no network plugin that enforces them.

It watches Pods, Namespaces and NetworkPolicies and keeps one nftables table. README.md says what it does
and what it is not.
"""
