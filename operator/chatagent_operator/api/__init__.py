"""The resource as types: what a person writes, what the operator answers, and the CRD of both."""
