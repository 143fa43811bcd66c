"""The edge to the Hossted API, and the pushes."""
