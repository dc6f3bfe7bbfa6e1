"""Finding passages: dense search in the store, lexical search in memory, fused by rank."""
