"""The configurations that git and ssh are given for one remote, as text. Pure.

Everything in them comes quoted: no value can end its line or its quotes and begin a setting of its own.
"""

from math import ceil

_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t"}


def config_text(
    url: str,
    *,
    scheme: str,
    authorization: str = "",
    authority: str = "",
    proxy: str = "",
    silence: float,
    ssh_config: str = "",
) -> str:
    """git's configuration for one URL. ``authorization``: the header's value; ``authority`` and
    ``ssh_config``: paths; ``proxy``: a URL, with its credentials; ``silence``: seconds without a byte."""
    lines = [f'[protocol "{scheme}"]', setting("allow", "always")]
    if scheme == "ssh":
        # The path has digits and slashes only: nothing for a shell to read otherwise.
        lines += ["[core]", setting("sshCommand", f"ssh -F {ssh_config}"), "[ssh]", setting("variant", "ssh")]
        return "\n".join(lines) + "\n"
    # The section is this URL's. git sends what is in it to wherever it goes from there, so it goes nowhere.
    lines += [
        f'[http "{_escaped(url)}"]',
        setting("followRedirects", "false"),
        setting("sslVerify", "true"),
        setting("lowSpeedLimit", "1"),
        setting("lowSpeedTime", str(ceil(silence))),
    ]
    if authorization:
        lines.append(setting("extraHeader", f"Authorization: {authorization}"))
    if authority:
        lines.append(setting("sslCAInfo", authority))
    if proxy:
        lines.append(setting("proxy", proxy))
    return "\n".join(lines) + "\n"


def ssh_config_text(
    *, identity: str, known_hosts: str, user: str, proxy_command: str = "", connect: float, silence: float
) -> str:
    """ssh's configuration for one host. ``identity`` and ``known_hosts``: paths of files in memory, ""
    where there is none."""
    lines = [
        f"User {user}",
        f"IdentityFile {identity or 'none'}",
        f"UserKnownHostsFile {known_hosts or '/dev/null'}",
        "GlobalKnownHostsFile /dev/null",
        "IdentitiesOnly yes",
        "IdentityAgent none",
        "PreferredAuthentications publickey",
        "BatchMode yes",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "CheckHostIP no",
        "ForwardAgent no",
        "ControlPath none",
        f"ConnectTimeout {ceil(connect)}",
        f"ServerAliveInterval {ceil(silence / 3)}",
        "ServerAliveCountMax 3",
    ]
    if proxy_command:
        lines.append(f"ProxyCommand {proxy_command}")
    return "\n".join(lines) + "\n"


def setting(name: str, value: str) -> str:
    """One line of a git configuration; ValueError for what no line can hold."""
    return f'\t{name} = "{_escaped(value)}"'


def _escaped(value: str) -> str:
    if "\0" in value or "\r" in value:
        raise ValueError("a setting of git's holds no NUL and no carriage return")
    return "".join(_ESCAPES.get(letter, letter) for letter in value)
