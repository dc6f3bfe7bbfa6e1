"""What the operator and the gateway's sidecar share: the routes and HAProxy's configuration."""
