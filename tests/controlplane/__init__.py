"""A real Kubernetes control plane for the tests, and for people to play with.

`plane.ControlPlane` is the way in; `python -m tests.controlplane` starts one by hand.
"""
