"""Ringfence: one model and one compiler for service identities, closed networks and checked pods."""

__version__ = "0.1.0"
