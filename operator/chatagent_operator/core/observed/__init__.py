"""What was observed: projections of API objects, and what pods and gateways answer."""
