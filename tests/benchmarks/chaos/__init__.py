"""Ten minutes in which people work on a cluster, and everything on the way to it and from it breaks.

``people`` does what people do with Helm and kubectl, ``weather`` what networks and servers do, ``operated``
runs the program itself between a store and a receiver, ``witness`` judges what it tells, and ``main`` draws
all of it and compares in the end.
"""
