"""Who holds a bearer token, and what the cluster lets them do. No token is ever logged."""
