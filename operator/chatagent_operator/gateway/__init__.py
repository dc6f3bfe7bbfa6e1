"""The gateway's sidecar, which applies the operator's intent to HAProxy."""
