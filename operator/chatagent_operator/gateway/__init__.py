"""The gateway: HAProxy's configuration, and the sidecar that applies the operator's intent."""
