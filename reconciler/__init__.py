"""A Kubernetes operator that keeps the record of every Helm release of a cluster."""
