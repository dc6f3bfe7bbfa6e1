"""A single-node Kubernetes on this very machine, without a container engine.

Standard library only, so that it runs on a bare Debian before anything is installed. Nothing of the
operator or the runtime is imported here, and nothing here is imported by them.
"""
