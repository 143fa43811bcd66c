"""Whether a record can be believed."""
