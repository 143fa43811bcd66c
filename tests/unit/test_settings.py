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


@pytest.mark.parametrize(
    ("env", "https", "exceptions"),
    [
        ({}, "", ""),
        ({"HTTPS_PROXY": "http://proxy.example:3128"}, "http://proxy.example:3128", ""),
        ({"HTTPS_PROXY": "http://a:1", "https_proxy": "http://b:2"}, "http://b:2", ""),
        ({"ALL_PROXY": "socks5h://a:1080"}, "socks5h://a:1080", ""),
        ({"HTTPS_PROXY": "a:3128", "ALL_PROXY": "http://b:2", "NO_PROXY": "x,.y"}, "a:3128", "x,.y"),
        ({"HTTPS_PROXY": "", "NO_PROXY": "x", "no_proxy": "y"}, "", "y"),
        ({"HTTP_PROXY": "http://a:1"}, "", ""),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:3128/"}, "http://[2001:db8::1]:3128/", ""),
    ],
)
def test_proxies_are_those_that_curl_would_take(env: dict[str, str], https: str, exceptions: str) -> None:
    proxy = load(env).proxy
    assert (proxy.https, proxy.exceptions, proxy.ssh_command) == (https, exceptions, "")


def test_ssh_has_a_command_of_its_own() -> None:
    command = "nc -X connect -x proxy:3128 %h %p"
    assert load({"HOSSTED_SSH_PROXY_COMMAND": f" {command} "}).proxy.ssh_command == command


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"HTTPS_PROXY": "http://canary:canary@a b"},
            "HTTPS_PROXY is no URL of a proxy: give http://HOST:PORT",
        ),
        ({"https_proxy": "ftp://canary"}, "https_proxy is no URL of a proxy"),
        ({"ALL_PROXY": "http://a/canary"}, "ALL_PROXY is no URL of a proxy"),
        ({"HOSSTED_SSH_PROXY_COMMAND": "nc canary\nHost *"}, "HOSSTED_SSH_PROXY_COMMAND has line ends"),
    ],
)
def test_a_proxy_that_cannot_be_one_is_named_and_not_shown(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(env)
    assert "canary" not in str(caught.value)


def test_a_proxys_credentials_are_not_shown_and_taken_out_of_texts() -> None:
    settings = load({"HTTPS_PROXY": "http://jo:c%40nary-word@proxy:1"})
    assert "nary" not in repr(settings)
    assert settings.proxy.scrub("jo said c%40nary-word and c@nary-word") == "jo said [hidden] and [hidden]"
    assert load({"HTTPS_PROXY": "http://canary-token@p:1"}).proxy.scrub("canary-token") == "[hidden]"
    assert load({"HTTPS_PROXY": "http://p:1"}).proxy.scrub("http://p:1") == "http://p:1"
