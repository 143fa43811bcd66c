"""``python -m tests.benchmarks.live.typed KUBECONFIG``: the same lists by the official client's models."""

import sys
from collections.abc import Callable
from typing import Any

from kubernetes import client, config


def whole(ask: Callable[..., Any], **arguments: Any) -> int:
    """Every page of a list, decoded; how many there were."""
    found, token = 0, ""
    while True:
        page = ask(limit=500, **arguments, **({"_continue": token} if token else {}))
        found += len(page.items)
        token = page.metadata._continue
        if not token:
            return found


def main() -> None:
    config.load_kube_config(sys.argv[1])  # type: ignore[no-untyped-call]  # ships no types
    core, apps, network = client.CoreV1Api(), client.AppsV1Api(), client.NetworkingV1Api()
    whole(core.list_namespace)
    whole(core.list_secret_for_all_namespaces, field_selector="type=helm.sh/release.v1")
    whole(core.list_pod_for_all_namespaces)
    whole(core.list_service_for_all_namespaces)
    whole(core.list_persistent_volume_claim_for_all_namespaces)
    whole(network.list_ingress_for_all_namespaces)
    whole(apps.list_stateful_set_for_all_namespaces)
    whole(apps.list_replica_set_for_all_namespaces)


if __name__ == "__main__":
    main()
