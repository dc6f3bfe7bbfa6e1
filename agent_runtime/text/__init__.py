"""Language-dependent text processing shared by ingestion, retrieval and generation. Pure."""
