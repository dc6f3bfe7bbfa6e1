"""Embedding models: what an image holds, the adapters that run them, and their conversion."""
