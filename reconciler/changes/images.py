"""Which images an app stands on, and how they were replaced: what ``pod_info.image`` speaks of.

A Job's pods are left out of an app's set of images, or every run of a CronJob would be an image change.
A stored app does not say who owns a pod, but the controllers' names for pods do, all but one case:

- CronJob: ``<cronjob>-<minutes since 1970, 8 digits>-<5 random>``; left out.
- Deployment: ``<deployment>-<template hash>-<5 random>``. The hash is a decimal number in another
  alphabet (``4`` to ``9``, ``b``, ``c``, ``d``, ``f``), so it never begins as minutes do until 2046.
- StatefulSet: ``<statefulset>-<ordinal>``. A bare pod: whatever it likes.
- DaemonSet and Job: ``<owner>-<5 random>`` both. Such pods count only while their owner has pods on both
  sides: a DaemonSet has, and a Job that has not changed runs the image that it ran. So a Job that comes
  or goes is left out, and a DaemonSet that does so by hand (a ``helm upgrade`` is an upgrade anyway) is
  told as its pods, not as an image.

The random part: ``k8s.io/apimachinery/pkg/util/rand``, whose alphabet has no vowels. The hash:
``controller.ComputeHash`` through ``rand.SafeEncodeString``. Names are cut to 63 characters, the part
before the random one to 58 (``k8s.io/apiserver/pkg/storage/names``).
"""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from reconciler.model import App

_RANDOM = "[bcdfghjklmnpqrstvwxz2456789]{5}"
_CRON_JOB = re.compile(rf"-[123]\d{{7}}(-\d+)?-{_RANDOM}$")
_CRON_JOB_CUT = re.compile(rf"^.{{48,}}-[123]\d{{4,7}}-?{_RANDOM}$")  # of 63 characters
_REPLICA_SET = re.compile(rf"-[4-9bcdf]{{6,10}}-{_RANDOM}$")
_GENERATED = re.compile(rf"^(?P<owner>.+)-{_RANDOM}$")
_LONGEST_NAME = 63


class ImageName(NamedTuple):
    """An image reference, taken apart. ``tag`` and ``digest`` are "" when not given."""

    registry: str
    repository: str
    tag: str
    digest: str

    @property
    def short(self) -> str:
        """The last part of the repository."""
        return self.repository.rpartition("/")[2]

    @property
    def path(self) -> str:
        """Registry and repository."""
        return f"{self.registry}/{self.repository}" if self.registry else self.repository


def parse_image(image: str) -> ImageName:
    """Take a reference apart as the distribution project's grammar does; never fails."""
    name, _, digest = image.partition("@")
    head, slash, rest = name.partition("/")
    is_registry = bool(slash) and ("." in head or ":" in head or head == "localhost")
    registry, path = (head, rest) if is_registry else ("", name)
    folder, slash, last = path.rpartition("/")
    last, _, tag = last.partition(":")
    return ImageName(registry, folder + slash + last, tag, digest)


def standing_images(before: App, after: App) -> tuple[frozenset[str], frozenset[str]]:
    """The two sides' sets of images, Jobs' pods left out."""
    lasting = _doubtful_owners(before) & _doubtful_owners(after)
    return _images(before, lasting), _images(after, lasting)


def _images(app: App, lasting: frozenset[tuple[str, str]]) -> frozenset[str]:
    return frozenset(
        pod.image
        for pod in app.app_info.pod_info
        if not _of_a_cron_job(pod.name)
        and ((owner := _doubtful_owner(pod.name)) == "" or (pod.namespace, owner) in lasting)
    )


def _doubtful_owners(app: App) -> frozenset[tuple[str, str]]:
    return frozenset(
        (pod.namespace, owner) for pod in app.app_info.pod_info if (owner := _doubtful_owner(pod.name))
    )


def _of_a_cron_job(pod: str) -> bool:
    if _CRON_JOB.search(pod):
        return True
    return len(pod) == _LONGEST_NAME and _CRON_JOB_CUT.search(pod) is not None


def _doubtful_owner(pod: str) -> str:
    """The name of the DaemonSet or Job that a pod's name tells of; "" where it tells of neither."""
    if _REPLICA_SET.search(pod):
        return ""
    generated = _GENERATED.match(pod)
    return generated["owner"] if generated else ""


def replaced_images(
    before: Iterable[str], after: Iterable[str]
) -> Iterator[tuple[str, str | None, str | None]]:
    """Pair what went with what came: (short name, old, new), None where one has no other.

    Images of one repository belong together, then those of one short name (another registry), and if
    one of each is left, those.
    """
    gone, new = sorted(set(before) - set(after)), sorted(set(after) - set(before))
    for pairs in (_by_path, _by_short_name, _by_any):
        for name in sorted({pairs(parse_image(image)) for image in gone}):
            olds = [image for image in gone if pairs(parse_image(image)) == name]
            news = [image for image in new if pairs(parse_image(image)) == name]
            if pairs is _by_any and (len(olds), len(news)) != (1, 1):
                continue
            for old, now in zip(olds, news, strict=False):
                gone.remove(old)
                new.remove(now)
                yield parse_image(now).short, old, now
    for old in gone:
        yield parse_image(old).short, old, None
    for now in new:
        yield parse_image(now).short, None, now


def _by_path(image: ImageName) -> str:
    return image.path


def _by_short_name(image: ImageName) -> str:
    return image.short


def _by_any(_: ImageName) -> str:
    return ""
