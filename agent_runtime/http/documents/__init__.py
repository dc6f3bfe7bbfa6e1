"""/v1/files and /v1/vector_stores: documents that come while the agent is served."""
