"""Signatures of images: what a signature says, and whether it is by whom a rule names. Pure: no network, no clock.

``found`` is what a registry can hold beside an image, ``verify`` answers a rule; only ``keyless`` has sigstore-python.
"""
