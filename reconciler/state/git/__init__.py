"""The state store in a git repository."""
