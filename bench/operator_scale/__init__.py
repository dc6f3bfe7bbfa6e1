"""The operator with many agents, against a real API server whose nodes and pods are kwok's.

`python -m bench.operator_scale` needs root, and builds Kubernetes and kwok first where `make
cluster` has not. Everything runs in namespaces of its own, so a cluster on the same machine is left
alone, and nothing outlives the benchmark. Who wrote what and when is read from the API server's
audit log, which all contestants have in common.
"""
