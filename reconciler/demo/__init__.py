"""The demo: recorded clusters, played through the real parts into a local repository and receiver."""
