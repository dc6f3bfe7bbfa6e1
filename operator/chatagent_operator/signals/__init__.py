"""What the pods say of themselves, fetched over HTTP."""
