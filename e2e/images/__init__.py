"""Container images without a Docker engine, from the same Dockerfiles that Docker would read.

What comes out is an OCI image layout (a directory), which goes to any registry.
"""
