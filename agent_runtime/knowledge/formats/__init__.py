"""Readers of file formats: each turns bytes into one Markdown text. They neither fetch nor run
anything that a document names."""
