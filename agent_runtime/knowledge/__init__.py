"""Ingestion: from files to a published index. It never answers a question."""
