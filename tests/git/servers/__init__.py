"""Real git servers on loopback ports, without root: git's own programs behind HTTPS and SSH, and a proxy.

``hosting`` has the repositories and what they allow, ``https`` and ``ssh`` the servers, ``proxy`` a proxy,
``certificates`` the authority that the test run trusts, ``states`` what a forge or a bad disk does to a
repository. ``fixtures`` starts each of them once per session.
"""
