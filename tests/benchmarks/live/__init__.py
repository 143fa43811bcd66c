"""The live inventory on the real control plane, next to what others need for the same.

``make bench ARGS="live"``, or parts of it by name, and ``--small`` to try it: see docs/performance.md.
"""
