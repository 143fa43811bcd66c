"""The versioned state store and the ledger."""
