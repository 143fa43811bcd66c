"""The state store in ConfigMaps."""
