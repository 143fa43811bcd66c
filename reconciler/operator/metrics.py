"""How the operator stands, in numbers for Prometheus: computed from the latest result, as the status is.

Names follow Prometheus' conventions (https://prometheus.io/docs/practices/naming/). No metric has a label
that grows with the cluster, and none names an app: what is wrong with which is in the status and the log.
"""

from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.registry import Collector

from reconciler.operator.conditions import conditions
from reconciler.operator.result import Result


def metrics(result: Result) -> Iterator[Metric]:
    """The metrics of a result; what it does not know is left out."""
    yield Gauge(
        "hossted_last_reconcile_timestamp_seconds",
        "When the cluster was looked at last, in seconds since 1970.",
        result.at.timestamp(),
    )
    yield CounterMetricFamily(
        "hossted_missed_changes",
        "Objects of which a comparison with the cluster found a change that the watches missed. Must stay 0.",
        value=result.differences,
    )
    yield Gauge("hossted_unseen_kinds", "Kinds of a namespace that cannot be listed now.", len(result.gaps))
    yield Gauge("hossted_waiting_apps", "Apps that are not recorded yet as they are.", len(result.waiting))
    if (seen := result.inventory) is not None:
        yield Gauge("hossted_apps", "Apps in the cluster.", len(seen.apps))
        yield Gauge("hossted_pods", "Pods of these apps.", seen.pods)
        yield Gauge("hossted_unattributed_pods", "Pods that belong to no app.", len(seen.unattributed))
        yield Gauge(
            "hossted_unreadable_apps",
            "Apps whose newest revision cannot be read.",
            len(seen.unreadable),
        )
    if (told := result.delivery) is not None:
        yield Gauge("hossted_pending_apps", "Apps that are still to be told to the API.", told.pending)
        yield Gauge("hossted_rejected_apps", "Apps that the API rejects as they are.", len(told.rejected))
        yield Gauge("hossted_unapproved_apps", "Apps that wait for people.", len(told.unapproved))
    shown = Gauge(
        "hossted_condition",
        "1 for the status that each condition of the project has.",
        labels=("type", "status"),
    )
    for one in conditions(result):
        shown.add_metric((one.type, one.status), 1)
    yield shown


class ResultCollector(Collector):
    """Asks for the latest result each time that it is asked; None gives no metrics. Any thread may ask."""

    def __init__(self, latest: Callable[[], Result | None]) -> None:
        self._latest = latest

    def collect(self) -> Iterator[Metric]:
        result = self._latest()
        if result is not None:
            yield from metrics(result)
