"""The environment, read once."""

from pathlib import Path

import pytest

from reconciler.errors import SettingsError
from reconciler.settings import DEFAULT_NAMESPACE, DEFAULT_RATE, ApiSettings, kubeconfigs, load

TOKEN_FILE = {"HOSSTED_API_URL": "https://api.example.com/apps", "HOSSTED_AUTH_TOKEN_FILE": "/etc/api/token"}
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
        ({**API, **TOKEN_FILE}, "HOSSTED_AUTH_TOKEN and HOSSTED_AUTH_TOKEN_FILE are both set: unset one"),
        *(
            ({**API, "HOSSTED_API_RATE": rate}, f"HOSSTED_API_RATE is '{rate}': give requests a second")
            for rate in ("fast", "-1", "nan", "inf", "1e3", "0.001", "٣", "20/s")
        ),
        ({**API, "HTTPS_PROXY": "http://canary:canary@a b"}, "HTTPS_PROXY is no URL of a proxy: give http:"),
        (
            {**API, "ALL_PROXY": "socks5h://canary:line@a:1080"},
            "ALL_PROXY names a SOCKS proxy, and the Hossted API is reached through HTTP proxies only: set "
            "HTTPS_PROXY to one, or put api.example.com into NO_PROXY",
        ),
    ],
)
def test_a_wrong_variable_is_named_in_one_line(env: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        load(env)
    assert "\n" not in str(caught.value)
    assert "line" not in str(caught.value)


def api_of(env: dict[str, str]) -> ApiSettings:
    api = load(env).api
    assert api is not None
    return api


def test_a_token_may_be_in_a_file_and_authorities_too() -> None:
    api = api_of({**TOKEN_FILE, "HOSSTED_CA_FILE": "/etc/api/ca.crt"})
    assert (api.token, api.token_file, api.ca_file) == ("", Path("/etc/api/token"), Path("/etc/api/ca.crt"))
    assert (api_of(API).token_file, api_of(API).ca_file) == (None, None)


@pytest.mark.parametrize(
    ("text", "rate"),
    [("", DEFAULT_RATE), ("5", 5.0), ("0.5", 0.5), ("1000", 1000.0), ("0", None), ("0.0", None)],
)
def test_a_rate_is_requests_a_second_and_0_is_no_limit(text: str, rate: float | None) -> None:
    assert api_of({**API, "HOSSTED_API_RATE": text}).rate == rate


PROXY = "http://jo:canary@proxy:3128"


@pytest.mark.parametrize(
    ("url", "env", "proxy"),
    [
        ("https://api.example.com/apps", {}, ""),
        ("https://api.example.com/apps", {"HTTPS_PROXY": PROXY}, PROXY),
        ("https://api.example.com/apps", {"HTTP_PROXY": PROXY}, ""),
        ("http://api.example.com/apps", {"HTTP_PROXY": PROXY, "HTTPS_PROXY": "http://other:1"}, PROXY),
        ("https://api.example.com/apps", {"ALL_PROXY": "proxy:3128"}, "http://proxy:3128"),
        ("https://api.example.com/apps", {"ALL_PROXY": "http://a:1", "https_proxy": PROXY}, PROXY),
        *(
            ("https://api.example.com/apps", {"HTTPS_PROXY": PROXY, "NO_PROXY": exception}, "")
            for exception in (
                "api.example.com",
                "x, .example.com",
                "example.com",
                "*.EXAMPLE.com",
                "*",
                "api.example.com:443",
            )
        ),
        *(
            ("https://api.example.com:443/apps", {"HTTPS_PROXY": PROXY, "no_proxy": exception}, proxy)
            for exception, proxy in (
                ("api.example.com:443", ""),
                ("api.example.com:80", PROXY),
                ("ple.com", PROXY),
                ("other.example.com", PROXY),
                ("10.0.0.0/8", PROXY),
                (", ,", PROXY),
            )
        ),
        ("https://10.1.2.3/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "10.0.0.0/8"}, ""),
        ("https://[2001:db8::1]:8443/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "2001:db8::/32"}, ""),
        ("https://[2001:db8::1]:8443/", {"HTTPS_PROXY": PROXY, "NO_PROXY": "[2001:db8::1]:8443"}, ""),
        ("http://localhost:8080/", {"ALL_PROXY": PROXY}, ""),
        ("http://127.0.0.1:8080/", {"ALL_PROXY": "socks5://a:1"}, ""),
        ("http://[::1]:8080/", {"ALL_PROXY": PROXY}, ""),
        ("https://api.example.com/", {"ALL_PROXY": "socks5://a:1", "NO_PROXY": "example.com"}, ""),
    ],
)
def test_the_api_has_the_proxy_of_its_scheme_unless_its_host_is_excepted(
    url: str, env: dict[str, str], proxy: str
) -> None:
    assert api_of({**API, "HOSSTED_API_URL": url, **env}).proxy == proxy


def test_a_pod_is_known_by_its_name_and_anything_else_by_a_name_of_its_own() -> None:
    pod = {"KUBERNETES_SERVICE_HOST": "10.96.0.1"}
    assert load(pod).identity == load(pod).identity
    assert load({}).identity != load({}).identity


def test_kubeconfigs_are_found_as_kubectl_finds_them() -> None:
    assert kubeconfigs({"KUBECONFIG": "/a:/b"}) == "/a:/b"
    assert kubeconfigs({"KUBECONFIG": ""}) == kubeconfigs({}) == "~/.kube/config"


def test_the_token_is_never_shown() -> None:
    assert "canary" not in repr(
        load({**API, "HTTPS_PROXY": PROXY, "HOSSTED_API_URL": "https://a/?code=canary"})
    )


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
