"""``verify``: whether a record can be believed: its digests, signatures and order, and the time it covers.

Exit status: 0 all of it is good, 1 something is bad, 2 it cannot be read.
"""

import argparse
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from reconciler.changes.wording import count
from reconciler.cli.files import text_of
from reconciler.cli.output import print_json
from reconciler.cli.revisions import SHORT
from reconciler.cli.target import Target, target_of
from reconciler.cli.times import Times
from reconciler.errors import UsageError
from reconciler.project import GitState
from reconciler.state.git.store import GitStore
from reconciler.state.signing.allowed_signers import Signers, of_key, parse_allowed_signers
from reconciler.state.signing.signature import KeyUnusableError, parse_public_key
from reconciler.state.verify.chain import Rules
from reconciler.state.verify.git_track import Wanted, verify_track
from reconciler.state.verify.report import Finding, Report
from reconciler.state.verify.revisions import verify_revisions

TROUBLE = 2

_SHOWN = 20  # findings of a kind, for people


async def run(arguments: argparse.Namespace) -> int:
    """Verify, and print what was found."""
    async with target_of(arguments) as target:
        report = await _verify(target, arguments)
        times = target.times
    if arguments.output == "json":
        print_json(_as_json(report, times))
    else:
        print("\n".join(_as_text(report, times)))
    return 0 if report.is_good else 1


async def _verify(target: Target, arguments: argparse.Namespace) -> Report:
    signers = _signers(arguments.signers)
    approvers = _signers(arguments.approvers)
    since = _moment(arguments.signed_since, target.times)
    store, spec = await target.store(), await target.spec()
    state = None if spec is None else spec.state
    if not (isinstance(store, GitStore) and isinstance(state, GitState)):
        for option, given in (("signers", signers), ("approvers", approvers), ("signed-since", since)):
            if given is not None:
                raise UsageError(f"--{option}: a record in ConfigMaps has no signatures; they need state.git")
        return await verify_revisions(await target.track(), store.location)
    status = None if arguments.repo is not None else (await target.project()).status
    if signers is None and status is not None and status.signingKey:
        signers = _of_status(status.signingKey)
    wanted = Wanted(
        cluster_uuid=await target.cluster_uuid(),
        location=store.location,
        branch=state.branch,
        approved_branch=arguments.approved_branch or state.approved_branch,
        rules=Rules(signers=signers, signed_since=since),
        approvers=approvers,
        expected=status.snapshot.revision if status is not None and status.snapshot is not None else "",
        memory=target.settings.cache / "verified",
        again=arguments.all,
        now=datetime.now(UTC),
    )
    return await store.examine(lambda repository, branches: verify_track(repository, branches, wanted))


def _signers(path: Path | None) -> Signers | None:
    return None if path is None else parse_allowed_signers(text_of(path), str(path))


def _of_status(text: str) -> Signers:
    try:
        return of_key(parse_public_key(text), "the project's status")
    except KeyUnusableError as error:
        raise UsageError(
            f"the key in the project's status.signingKey {error}: name one with --signers"
        ) from error


def _moment(text: str | None, times: Times) -> datetime | None:
    if text is None:
        return None
    found = times.parse(text)
    if found is None:
        raise UsageError(f"--signed-since {text}: write 2026-11-21, or 2026-11-21T09:00Z")
    return found


def _as_text(report: Report, times: Times) -> Iterable[str]:
    yield f"{count(report.revisions, 'revision')} of {report.track}"
    if report.checked < report.revisions:
        yield f"  {count(report.checked, 'new one')} checked, the others were before"
    yield f"  {_signatures(report)}"
    if report.first is not None and report.last is not None:
        yield f"  from {times.text(report.first)} to {times.text(report.last)}"
        yield f"  covered {_length(report.covered)}, not covered {_length(report.uncovered)}"
    for gap in report.gaps:
        yield f"    {times.text(gap.start)} to {times.text(gap.end)}: {gap.reason}, {_length(gap.length)}"
    for branch in report.rescued:
        yield f"  {branch} keeps what has vanished from the track"
    yield from _some("warning", report.warnings, len(report.warnings))
    if report.is_good:
        yield "good"
        return
    first = report.bad[0]
    yield f"bad: {_sentence(first)}"
    if first.means:
        yield f"  {first.means}"
    yield from _some("also", report.bad[1:], report.bad_count - 1)


def _signatures(report: Report) -> str:
    if report.judged_by:
        return f"{count(report.signed, 'signature')} by those whom {report.judged_by} allows"
    said = count(report.signed, "signature") if report.signed else "no signatures"
    return f"{said}; whose they are was not judged: name who may sign with --signers FILE"


def _some(word: str, findings: Iterable[Finding], number: int) -> Iterable[str]:
    shown = list(findings)[:_SHOWN]
    for one in shown:
        yield f"{word}: {_sentence(one)}"
    if number > len(shown):
        yield f"  and {count(number - len(shown), 'more')}"


def _sentence(finding: Finding) -> str:
    return f"{finding.revision[:SHORT]} {finding.what}" if finding.revision else finding.what


def _length(length: timedelta) -> str:
    """``3 d 4 h``: the two greatest units."""
    seconds = int(length.total_seconds())
    parts: list[str] = []
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        number, seconds = divmod(seconds, size)
        if number or (unit == "s" and not parts):
            parts.append(f"{number} {unit}")
    return " ".join(parts[:2])


def _as_json(report: Report, times: Times) -> dict[str, object]:
    def moment(at: datetime | None) -> str | None:
        return None if at is None else times.rfc3339(at)

    def findings(some: Iterable[Finding]) -> list[dict[str, str]]:
        return [{"revision": one.revision, "what": one.what, "means": one.means} for one in some]

    return {
        "good": report.is_good,
        "track": report.track,
        "revisions": report.revisions,
        "checked": report.checked,
        "signatures": {"good": report.signed, "judgedBy": report.judged_by or None},
        "first": moment(report.first),
        "last": moment(report.last),
        "coveredSeconds": int(report.covered.total_seconds()),
        "uncoveredSeconds": int(report.uncovered.total_seconds()),
        "gaps": [
            {"from": moment(gap.start), "to": moment(gap.end), "reason": gap.reason} for gap in report.gaps
        ],
        "bad": findings(report.bad),
        "badCount": report.bad_count,
        "warnings": findings(report.warnings),
        "rescued": list(report.rescued),
    }
