"""Meaning: from resources and the state of the cluster to what holds in a namespace, and what that decides."""
