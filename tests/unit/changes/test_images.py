"""What an app's set of images is, and how a change of it reads."""

import msgspec
import pytest

from reconciler.changes.images import parse_image, replaced_images, standing_images
from reconciler.model import App, PodInfo
from tests.builders import make_app


def app_with(*pods: tuple[str, str]) -> App:
    """An app with these pods, as (name, image)."""
    app = make_app(pods=0)
    infos = tuple(sorted(PodInfo(name, "default", image, "Running") for name, image in pods))
    return msgspec.structs.replace(app, app_info=msgspec.structs.replace(app.app_info, pod_info=infos))


WEB = ("web-5d4f9c8b7-x2zqk", "web:1.0")


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        pytest.param("web-5d4f9c8b7-x2zqk", True, id="Deployment"),
        pytest.param("web-4567894567-x2zqk", True, id="Deployment whose hash has digits only"),
        pytest.param("web-0", True, id="StatefulSet"),
        pytest.param("test-connection", True, id="bare pod"),
        pytest.param("nightly-29912345-x2zqk", False, id="CronJob"),
        pytest.param("nightly-29912345-0-x2zqk", False, id="CronJob with indexed completions"),
        pytest.param("c" * 49 + "-29912345x2zqk", False, id="CronJob whose name is cut"),
        pytest.param("c" * 52 + "-29912x2zqk", False, id="CronJob with the longest name"),
        pytest.param("migrate-x2zqk", False, id="Job"),
        pytest.param("migrate-3-x2zqk", False, id="indexed Job"),
        pytest.param("nightly-manual-x2zqk", False, id="Job made from a CronJob by hand"),
    ],
)
def test_a_pod_that_comes_adds_its_image_unless_it_is_of_a_job(name: str, counts: bool) -> None:
    assert len(name) <= 63
    before, after = standing_images(app_with(WEB), app_with(WEB, (name, "other:1")))
    assert before == {"web:1.0"}
    assert ("other:1" in after) is counts
    gone_before, gone_after = standing_images(app_with(WEB, (name, "other:1")), app_with(WEB))
    assert (gone_before, gone_after) == (after, before)


def test_a_daemon_set_that_is_rolled_out_changes_the_images() -> None:
    before, after = standing_images(
        app_with(("agent-x2zqk", "agent:1")), app_with(("agent-bbbbb", "agent:2"))
    )
    assert before == {"agent:1"}
    assert after == {"agent:2"}


def test_a_job_s_pod_that_is_replaced_by_another_try_changes_no_image() -> None:
    before, after = standing_images(
        app_with(WEB, ("migrate-x2zqk", "migrate:1")), app_with(WEB, ("migrate-bbbbb", "migrate:1"))
    )
    assert before == after


@pytest.mark.parametrize(
    ("image", "path", "tag", "digest"),
    [
        ("nginx", "nginx", "", ""),
        ("nginx:1.27", "nginx", "1.27", ""),
        ("library/nginx:1.27", "library/nginx", "1.27", ""),
        (
            "registry.example.com:5000/a/b/web:2@sha256:ab",
            "registry.example.com:5000/a/b/web",
            "2",
            "sha256:ab",
        ),
        ("localhost/web@sha256:ab", "localhost/web", "", "sha256:ab"),
        ("", "", "", ""),
    ],
)
def test_a_reference_is_taken_apart(image: str, path: str, tag: str, digest: str) -> None:
    parts = parse_image(image)
    assert (parts.path, parts.tag, parts.digest) == (path, tag, digest)


@pytest.mark.parametrize(
    ("before", "after", "pairs"),
    [
        pytest.param({"web:1"}, {"web:2"}, [("web", "web:1", "web:2")], id="another tag"),
        pytest.param({"web:1", "db:1"}, {"web:2", "db:1"}, [("web", "web:1", "web:2")], id="one of two"),
        pytest.param({"a.io/web:1"}, {"b.io/web:1"}, [("web", "a.io/web:1", "b.io/web:1")], id="registry"),
        pytest.param({"web:1"}, {"caddy:2"}, [("caddy", "web:1", "caddy:2")], id="something else"),
        pytest.param({"web:1"}, {"web:1", "db:1"}, [("db", None, "db:1")], id="a new one"),
        pytest.param({"web:1", "db:1"}, {"web:1"}, [("db", "db:1", None)], id="one gone"),
        pytest.param(
            {"a:1", "b:1"},
            {"c:1"},
            [("a", "a:1", None), ("b", "b:1", None), ("c", None, "c:1")],
            id="unclear",
        ),
    ],
)
def test_what_went_is_paired_with_what_came_in_its_place(
    before: set[str], after: set[str], pairs: list[tuple[str, str | None, str | None]]
) -> None:
    assert list(replaced_images(before, after)) == pairs
