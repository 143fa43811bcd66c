"""Which URLs can name a state repository."""

import pytest

from reconciler.errors import SpecError
from reconciler.state.git.network.url import checked_url, is_user, redacted


@pytest.mark.parametrize(
    ("url", "scheme", "host", "user"),
    [
        ("file:///srv/state.git", "file", "", ""),
        ("/srv/state.git", "file", "", ""),
        ("file:///srv/a%20b.git", "file", "", ""),
        ("https://git.example/team/state.git", "https", "git.example", ""),
        ("https://Git.Example:8443/team/state", "https", "git.example", ""),
        ("https://[2001:db8::1]:8443/state.git", "https", "2001:db8::1", ""),
        ("https://10.0.0.1/state.git", "https", "10.0.0.1", ""),
        ("ssh://git@git.example/team/state.git", "ssh", "git.example", "git"),
        ("ssh://git.example:2222/~team/state.git", "ssh", "git.example", ""),
        ("ssh://a_b-c@git.example/x", "ssh", "git.example", "a_b-c"),
    ],
)
def test_a_url_has_its_parts(url: str, scheme: str, host: str, user: str) -> None:
    found = checked_url(url)
    assert (found.text, found.scheme, found.host, found.user) == (url, scheme, host, user)
    assert str(found) == url


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://user:hunter2@git.example/state.git", "holds credentials"),
        ("https://hunter2@git.example/state.git", "holds credentials"),
        ("ssh://git:hunter2@git.example/state.git", "holds credentials"),
        ("git@git.example:state.git", "write it as ssh://user@host/path"),
        ("ssh://-oProxyCommand=id/state.git", "must be file://"),
        ("ssh://-oProxyCommand=id@git.example/state.git", "characters that none has"),
        ("ssh://git.example:22x/state.git", "must be file://"),
        ("https://git.example/state.git?token=hunter2", "must be file://"),
        ("https://git.example/state.git#x", "must be file://"),
        ("https://git.example/a\nb", "must be file://"),
        ("https://git.example", "must be file://"),
        ("http://git.example/state.git", "must be file://"),
        ("ext::sh -c id", "must be file://"),
        ("state.git", "must be file://"),
        ("--upload-pack=id", "must be file://"),
        ("file://host/state.git", "must be file://"),
        ("/srv/\nstate.git", "must be file://"),
        ("", "must be file://"),
    ],
)
def test_a_url_that_cannot_be_used_is_refused_and_not_shown(url: str, says: str) -> None:
    with pytest.raises(SpecError, match=says) as refusal:
        checked_url(url)
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize(
    ("name", "good"), [("git", True), ("a.b-c", True), ("-oX", False), ("a b", False), ("", False)]
)
def test_a_name_can_be_an_ssh_users_or_not(name: str, good: bool) -> None:
    assert is_user(name) is good


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("fetching https://user:secret@git.example/x failed", "fetching https://git.example/x failed"),
        ("ssh://git@git.example/x and https://t0ken@b/c", "ssh://git.example/x and https://b/c"),
        ("file:///srv/a@b", "file:///srv/a@b"),
    ],
)
def test_texts_hold_no_credentials_of_a_url(text: str, wanted: str) -> None:
    assert redacted(text) == wanted
