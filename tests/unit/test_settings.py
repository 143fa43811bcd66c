"""The environment, read once."""

from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import DEFAULT_NAMESPACE, load

API = {"HOSSTED_API_URL": "https://api.example.com/apps", "HOSSTED_AUTH_TOKEN": "canary-token"}


def test_without_a_url_everything_but_pushing_works() -> None:
    settings = load({})
    assert settings.api is None
    assert settings.namespace == DEFAULT_NAMESPACE


def test_the_environment_names_the_api_the_namespace_and_the_email() -> None:
    settings = load({**API, "EMAIL_ID": " a@example.com ", "POD_NAMESPACE": "ops", "XDG_CACHE_HOME": "/c"})
    assert settings.api is not None
    assert (settings.api.url, settings.api.scheme) == ("https://api.example.com/apps", "Bearer")
    assert settings.api.email_id == settings.email_id == "a@example.com"
    assert settings.namespace == "ops"
    assert settings.cache == Path("/c/hossted-reconciler")


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ({"HOSSTED_API_URL": "https://api.example.com"}, "HOSSTED_AUTH_TOKEN is not set"),
        ({**API, "HOSSTED_AUTH_SCHEME": "Digest"}, "HOSSTED_AUTH_SCHEME is 'Digest'"),
        ({**API, "HOSSTED_AUTH_TOKEN": "line\nbreak"}, "HOSSTED_AUTH_TOKEN has characters"),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(env)
    assert "\n" not in str(caught.value)
    assert "line" not in str(caught.value)


def test_a_pod_is_known_by_its_name_and_anything_else_by_a_name_of_its_own() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert load(pod).identity == load(pod).identity
    assert load({}).identity != load({}).identity


def test_the_token_is_never_shown() -> None:
    assert "canary-token" not in repr(load(API))
