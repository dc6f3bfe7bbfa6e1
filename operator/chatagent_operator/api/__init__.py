"""The ChatAgent resource: its spec and its status as types, and the CRD generated from them."""
