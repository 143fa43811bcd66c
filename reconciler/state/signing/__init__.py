"""SSH signatures: made, checked, and who may make them."""
