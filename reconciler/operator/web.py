"""What the operator serves over HTTP: its metrics."""

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, ProcessCollector, start_http_server

from reconciler.errors import SettingsError
from reconciler.operator.metrics import ResultCollector
from reconciler.operator.result import Result


@contextmanager
def serving_metrics(host: str, port: int, latest: Callable[[], Result | None]) -> Iterator[int]:
    """Serve until the block ends; the port, which the system chooses for 0. ``host``: "" for all addresses.

    Besides the metrics of the latest result there are those of the process (CPU, memory, files). It is plain
    HTTP without credentials, in a thread of its own: nothing that is served is secret. SettingsError when
    the address cannot be listened on.
    """
    registry = CollectorRegistry()
    registry.register(ResultCollector(latest))
    ProcessCollector(registry=registry)
    try:
        server, thread = start_http_server(port, host or _everywhere(), registry)
    except OSError as error:
        raise SettingsError(
            f"metrics cannot be served at {host}:{port} ({error.strerror}): give a free address"
        ) from error
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _everywhere() -> str:
    return "::" if socket.has_dualstack_ipv6() else "0.0.0.0"  # noqa: S104 - who asks for all addresses gets them
