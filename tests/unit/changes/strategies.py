"""Hypothesis strategies: apps that differ in a few things each, so that two of them often share most."""

from typing import TypeVar

from hypothesis import strategies as st

from reconciler.model import (
    App,
    AppApiInfo,
    AppInfo,
    AppKey,
    Container,
    HelmInfo,
    IngressInfo,
    PodInfo,
    Record,
    Route,
    ServiceInfo,
    ServiceRecord,
    Value,
    VolumeInfo,
)

KEY = AppKey("default", "test")
PODS = ("web-0", "web-5d4f9c8b7-x2zqk", "agent-x2zqk", "clean-29912345-x2zqk", "__private")
_Item = TypeVar("_Item", bound=Value)
NAMES = st.sampled_from(("web", "db"))
NAMESPACES = st.sampled_from(("default", "team-a"))
IMAGES = st.sampled_from(("web:1.0", "web:1.1", "docker.io/x/web:1.0", "db@sha256:aa", "__image"))
WORDS = st.sampled_from(("", "a", "b"))


def _tuple(elements: st.SearchStrategy[_Item]) -> st.SearchStrategy[tuple[_Item, ...]]:
    return st.frozensets(elements, max_size=2).map(lambda some: tuple(sorted(some)))


@st.composite
def apps(draw: st.DrawFn, key: AppKey = KEY) -> App:
    """Any app of that key; lists are sorted and without duplicates, as in the model."""
    return App(
        app_api_info=AppApiInfo(
            cluster_uuid=draw(st.sampled_from(("K-1", "K-2"))),
            app_uuid=draw(st.sampled_from(("A-1", "A-2"))),
            app_name=key.name,
            hossted_helm=draw(st.booleans()),
        ),
        app_info=AppInfo(
            helm_info=HelmInfo(
                name=key.name,
                namespace=key.namespace,
                revision=draw(st.integers(1, 3)),
                updated=draw(st.sampled_from(("", "2026-11-21T09:42:49Z", "2026-11-21T10:42:49+02:00"))),
                status=draw(st.sampled_from(("deployed", "failed"))),
                chart=draw(WORDS),
                appVersion=draw(WORDS),
            ),
            pod_info=draw(
                _tuple(
                    st.builds(
                        PodInfo,
                        st.sampled_from(PODS),
                        NAMESPACES,
                        IMAGES,
                        st.sampled_from(("", "Running", "Pending")),
                    )
                )
            ),
            service_info=draw(
                _tuple(st.builds(ServiceInfo, NAMES, NAMESPACES, st.sampled_from((0, 80, 443))))
            ),
            volume_info=draw(_tuple(st.builds(VolumeInfo, NAMES, NAMESPACES, st.integers(0, 2)))),
            ingress_info=draw(
                _tuple(st.builds(IngressInfo, NAMES, NAMESPACES, st.sampled_from(("", "a", "__b"))))
            ),
        ),
        record=Record(
            chart_version=draw(WORDS),
            rolled_back_to=draw(st.integers(0, 1)),
            containers=draw(
                _tuple(
                    st.builds(
                        Container,
                        st.sampled_from(PODS),
                        NAMES,
                        st.sampled_from(("app", "init")),
                        IMAGES,
                        st.sampled_from(("", "sha256:aa")),
                    )
                )
            ),
            services=draw(
                _tuple(st.builds(ServiceRecord, NAMES, st.sampled_from(("ClusterIP", "NodePort"))))
            ),
            routes=draw(_tuple(st.builds(Route, st.just("Ingress"), NAMESPACES, NAMES))),
        ),
    )
