"""Vector stores: adapters behind the IndexReader and IndexWriter ports."""
