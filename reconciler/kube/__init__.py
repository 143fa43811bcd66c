"""The edge to the Kubernetes API; nothing else imports its client."""
