"""The reconcile, its loop, and how it reports."""
