"""A changeset as Markdown, for pull requests.

What comes from a cluster stands in code spans, where no forge looks for markup, links or mentions.
"""

import re

from reconciler.changes.change import Changeset
from reconciler.changes.describe import lines, sentence
from reconciler.changes.message import cluster_lines, subject
from reconciler.changes.wording import count

_SHOWN_APPS = 200
"""A comment on a forge holds some 65,000 characters."""
_BACKTICKS = re.compile("`+")


def render_markdown(changes: Changeset) -> str:
    """A heading, then an item per app with its differences as items below it; ends in a newline."""
    result = [f"### {_code(subject(changes))}", ""]
    result.extend(f"- {_code(line)}" for line in cluster_lines(changes.cluster_before, changes.cluster_after))
    for change in changes.apps[:_SHOWN_APPS]:
        verb, _, what = sentence(change).partition(" ")
        result.append(f"- **{verb}** {_code(what)}")
        result.extend(f"  - {_code(line)}" for line in lines(change))
    if (rest := len(changes.apps) - _SHOWN_APPS) > 0:
        result.append(f"- … and {count(rest, 'more app')}")
    return "\n".join(result).rstrip() + "\n"


def _code(text: str) -> str:
    """A code span (CommonMark 6.1): its fence is longer than any run of backticks within."""
    fence = "`" * (1 + max((len(run) for run in _BACKTICKS.findall(text)), default=0))
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"
