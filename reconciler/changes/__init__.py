"""What differs between two snapshots: finding it, and telling it."""
