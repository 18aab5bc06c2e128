"""The one way to image registries: what is read, from whom, how much of it, and with whose credentials.

A registry is named by whoever writes an image into a workload, and may itself name others (redirects, token services).
So everything that comes from one is bounded, and no address inside is reached that the platform has not named.
"""
