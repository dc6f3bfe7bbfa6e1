"""The observed state: projections of API objects, and the responses of pods and gateways."""
