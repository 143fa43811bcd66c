"""The ways in which a remote fails: the words by which each is known, and the sentence that it gets. Data.

git has no codes for what goes wrong on the way to a remote, only words. These are those of git 2.39 and
later in its own language, of curl with GnuTLS and with OpenSSL, of OpenSSH, and of the large forges. What
is not known here is passed on as it was said.

In a sentence stand ``{the}`` (the state repository and its URL), ``{host}``, ``{secret}``, ``{them}`` (the
credentials, or the key, of that Secret, or whoever it is without one), ``{branch}``, ``{words}`` (the other
side's own), and the groups of the pattern.
"""

import re
from typing import Final

import msgspec

from reconciler.errors import (
    CredentialsError,
    DiskFullError,
    NoRepositoryError,
    RefusedError,
    StoreError,
    UntrustedError,
)

READING: Final = "reading"
WRITING: Final = "writing"
ANONYMOUS: Final = "anonymous"
FILE: Final = "file"

NO_ROOM: Final = re.compile(r"No space left on device|Disk quota exceeded|Out of diskspace|File too large")
READ_ONLY: Final = re.compile(r"Read-only file system")


class Row(msgspec.Struct, frozen=True):
    """``only``: while READING, while WRITING, without credentials (ANONYMOUS), or with a FILE's URL.
    ``settled``: what was to be written was not taken, for sure."""

    pattern: re.Pattern[str]
    error: type[StoreError]
    sentence: str
    only: str = ""
    settled: bool = True


def _row(
    pattern: str, error: type[StoreError], sentence: str, *, only: str = "", settled: bool = True
) -> Row:
    return Row(re.compile(pattern, re.IGNORECASE | re.MULTILINE), error, sentence, only, settled)


HANGS: Final = (
    "{the} does not answer: nothing came for {silence:g} seconds; see that it is up, and that nothing on the"
    " way holds it back"
)
ENDED: Final = (
    "{the} did not answer within {ended_after:g} seconds: see that it is up, and that nothing on the way"
    " holds it back"
)
MOVED: Final = (
    "{the} is elsewhere, and credentials follow no redirect: set spec.state.git.url to where it is{there}"
)
QUIET: Final = "{the} asks to be left alone (HTTP {status}): nothing is asked of it until {until}"

_PROTECTED = (
    "the branch {branch} of {the} is protected ({words}): let {them} push to it, or name another one in"
    " spec.state.git.branch"
)
_NO_WRITE = "{them} may not write to {the} ({words}): allow it there"
_NO_READ = "{them} may not read {the} ({words}): allow it there, and to write as well"
_NOT_FOUND = (
    "{the} does not exist, or is not shown to {them}: make it, correct spec.state.git.url, or allow reading"
    " and writing it"
)
_UNTRUSTED = (
    "the certificate of {host} is not trusted here: add its authority's to {secret}, under the key ca.crt, or"
    " have it renewed if it has expired"
)
_WRONG_NAME = (
    "the certificate of {host} is for another name: use that one in spec.state.git.url, or have one issued"
    " for this"
)
_UNREACHABLE = "{the} cannot be reached: {why}; see that it is up, and that the way there is open"
_BROKEN = "the connection to {the} broke ({words}): it is tried again"
_FULL = "{the} has no room left ({words}): make some there, or raise its quota"
_READ_ONLY_THERE = "{the} is read-only ({words}): make it writable there"
_TOO_LARGE = "{the} does not take so much at once ({words}): raise the limit there, or in a proxy before it"

# The first that matches is it: what is said of a cause stands before what only follows from it.
TABLE: Final = (
    # Programs that are missing here.
    _row(
        r"cannot run ssh\b|\bssh: (?:command )?not found|remote-https'? is not a git command"
        r"|unable to find remote helper for 'https'",
        StoreError,
        "git cannot speak to {the}, because a program is missing here: install openssh-client for ssh://, and"
        " all of git for https://",
    ),
    _row(
        r"No user exists for uid (?P<uid>\d+)",
        StoreError,
        "ssh refuses to run as user {uid}, who has no entry in /etc/passwd: add one",
    ),
    # Who the other side is.
    _row(
        r"REMOTE HOST IDENTIFICATION HAS CHANGED",
        UntrustedError,
        "{host} has another host key than known_hosts in {secret} says: somebody may be in between; if its"
        " key was changed, put the new line there",
    ),
    _row(
        r"is marked as revoked|REVOKED HOST KEY",
        UntrustedError,
        "the host key of {host} is marked as revoked in known_hosts of {secret}: put its new line there",
    ),
    _row(
        r"No \S+ host key is known for|Host key verification failed",
        UntrustedError,
        "the host key of {host} is not in known_hosts of {secret}: add its line there, once it is sure that"
        " it is the host's",
    ),
    _row(
        r"certificate has expired|expired certificate|certificate is expired",
        UntrustedError,
        "the certificate of {host} has expired: have it renewed there",
    ),
    _row(
        r"certificate subject name|alternative certificate subject name|does not match target host",
        UntrustedError,
        _WRONG_NAME,
    ),
    _row(
        r"server certificate verification failed|SSL certificate problem|unable to get local issuer"
        r"|self.signed certificate|certificate verify failed|certificate signer not trusted",
        UntrustedError,
        _UNTRUSTED,
    ),
    _row(
        r"gnutls_handshake\(\) failed|SSL_connect|TLS connect error|SSL_ERROR|wrong version number",
        UntrustedError,
        "{host} and we find no way to speak TLS ({words}): see that the port in spec.state.git.url is right",
    ),
    # The way there.
    _row(
        r"Could not resolve proxy: (?P<proxy>[^\s;]+)",
        StoreError,
        "the proxy {proxy} is not known: correct HTTPS_PROXY",
    ),
    _row(
        r"HTTP code 407 from proxy|CONNECT tunnel failed, response 407|could not read Proxy",
        CredentialsError,
        "the proxy on the way to {host} does not accept us: put its user and password into HTTPS_PROXY, as"
        " http://USER:PASSWORD@HOST:PORT",
    ),
    _row(
        r"HTTP code (?P<code>\d+) from proxy|CONNECT tunnel failed, response (?P<response>\d+)",
        StoreError,
        "the proxy gives no way to {host} ({words}): let it, or name the host in NO_PROXY",
    ),
    _row(
        r"Could not resolve host(?:name)?:? (?P<unknown>[^\s:;]+)",
        StoreError,
        "the host {unknown} is not known: correct spec.state.git.url, or see to the name service",
    ),
    _row(
        r"ssh: connect to host (?P<why>.+)",
        StoreError,
        _UNREACHABLE,
    ),
    _row(
        r"(?P<why>Failed to connect to \S+ port \d+.*|Network is unreachable|No route to host"
        r"|Couldn't connect to server)",
        StoreError,
        _UNREACHABLE,
    ),
    _row(
        r"Operation too slow|timed out during banner exchange|Timeout, server .* not responding"
        r"|Operation timed out|Connection timed out|Connection to .* timed out",
        StoreError,
        HANGS,
        settled=False,
    ),
    # What a forge forbids, in the words of GitHub, GitLab, Bitbucket, Gitea and Azure DevOps.
    _row(
        r"GH00[36]|GH013|protected branch|branch .* is protected|is protected\b|TF402455"
        r"|Permission denied to update branch",
        RefusedError,
        _PROTECTED,
        only=WRITING,
    ),
    _row(
        r"^(?:remote|ERROR):.*(?:read-only mode|(?:is|are) (?:currently |temporarily )?read-only|archived"
        r"|read-only GitLab)",
        RefusedError,
        _READ_ONLY_THERE,
        only=WRITING,
    ),
    _row(
        r"GH001|HTTP 413|returned error: 413|pack exceeds maximum allowed size|exceeds? .*file size limit"
        r"|Large files detected",
        RefusedError,
        _TOO_LARGE,
        only=WRITING,
    ),
    _row(
        r"^remote:.*(?:No space left on device|quota exceeded|exceeded its size limit|size limit"
        r"|cause it to exceed|over its.* quota|File too large)",
        DiskFullError,
        _FULL,
        only=WRITING,
    ),
    _row(
        r"remote unpack failed: (?P<why>.*temporary object directory.*)|insufficient permission for adding an"
        r" object|^remote:.*Read-only file system",
        RefusedError,
        _READ_ONLY_THERE,
        only=WRITING,
    ),
    _row(
        r"remote unpack failed",
        StoreError,
        "{the} cannot store what it is sent ({words}): see to its disk",
        only=WRITING,
    ),
    _row(
        r"does not support push options",
        RefusedError,
        "{the} takes no push options: remove spec.state.git.pushOptions, or set receive.advertisePushOptions"
        " there",
        only=WRITING,
    ),
    _row(
        r"cannot lock ref .*'refs/heads/(?P<other>[^']+)' exists; cannot create",
        RefusedError,
        "{the} has the branch {other}, beside which there can be no {branch}: rename one of them",
        only=WRITING,
    ),
    _row(
        r"(?:hook|rule)\S* (?:declined|violation)|\[remote rejected\].*declined\)",
        RefusedError,
        "{the} did not take the commit: {words}: let the rules there allow {them} to push to the branch"
        " {branch}",
        only=WRITING,
    ),
    # Who we are.
    _row(
        r"could not read (?:Username|Password)|Authentication failed|HTTP Basic: Access denied"
        r"|Invalid (?:username|credentials)|password authentication was removed"
        r"|returned error: 401",
        CredentialsError,
        "{the} wants credentials, and there are none: put them in a Secret, and name it in"
        " spec.state.git.secretRef",
        only=ANONYMOUS,
    ),
    _row(
        r"could not read (?:Username|Password)|Authentication failed|HTTP Basic: Access denied"
        r"|Invalid (?:username|credentials)|password authentication was removed"
        r"|returned error: 401",
        CredentialsError,
        "{the} does not accept {them}: put valid ones there",
    ),
    _row(
        r"Permission denied \((?:publickey|[a-z,-]+)\)",
        CredentialsError,
        "{the} does not accept {them}: add its public key there, with the right to write",
    ),
    _row(
        r"Too many authentication failures",
        CredentialsError,
        "{the} does not accept {them}: add its public key there, with the right to write",
    ),
    _row(
        r"Permission (?:to \S+ )?denied|marked as read.only|not allowed to (?:push|upload)"
        r"|Write access to repository not granted|does not have (?:write|push) access|not write to it"
        r"|returned error: 403|insufficient (?:permission|scope)",
        RefusedError,
        _NO_WRITE,
        only=WRITING,
    ),
    _row(
        r"returned error: 403|Access denied|Permission denied|not allowed",
        CredentialsError,
        _NO_READ,
    ),
    # Which repository.
    _row(
        r"does not appear to be a git repository|not a git repository",
        NoRepositoryError,
        "{the} cannot be found: make it with `git init --bare`, or correct spec.state.git.url",
        only=FILE,
    ),
    _row(
        r"repository '.*' not found|Repository not found|does not appear to be a git repository"
        r"|could not be found|no such (?:repository|project)|does not exist|returned error: (?:404|410)"
        r"|Could not find repository|not a git repository|not valid: is this a git repository",
        NoRepositoryError,
        _NOT_FOUND,
    ),
    # A connection that was there.
    _row(
        r"returned error: (?P<code>5\d\d)|RPC failed; HTTP (?P<status>\d+)",
        StoreError,
        "{the} is out of order ({words}): it is tried again",
        settled=False,
    ),
    _row(
        r"hung up unexpectedly|unexpected disconnect|early EOF|Connection reset|Broken pipe|Empty reply"
        r"|RPC failed|Connection closed by|Connection to \S+ closed|recv failure|recv error|Send failure"
        r"|transfer closed with",
        StoreError,
        _BROKEN,
        settled=False,
    ),
)
