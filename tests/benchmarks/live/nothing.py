"""Nothing: what starting Python costs."""
