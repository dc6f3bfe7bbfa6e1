"""The order system of Hazelgrid, the shop that the quickstart's documents belong to."""
