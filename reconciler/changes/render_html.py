"""A changeset as one HTML page: no script, nothing fetched, readable in print and in the dark.

Whatever comes from a cluster is text: it is escaped, and stands in no attribute.
"""

from collections.abc import Iterable, Sequence
from html import escape

from reconciler.changes.change import AppChange, Changeset, Operation
from reconciler.changes.describe import lines, outcome, sentence
from reconciler.changes.message import cluster_lines
from reconciler.changes.wording import clean

_CLASSES = {
    Operation.INSTALL: "came",
    Operation.ALLOW: "came",
    Operation.UNINSTALL: "went",
    Operation.DENY: "went",
}

_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
h1 {{ font-size: 1.4rem; }}
dl {{ display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; color: GrayText; }}
dd {{ margin: 0; overflow-wrap: anywhere; }}
section {{ border-left: 4px solid; padding-left: 1rem; margin: 1rem 0; border-color: #b8860b; }}
section.came {{ border-color: #2e8b57; }}
section.went, section.failed {{ border-color: #c0392b; }}
h2 {{ font-size: 1rem; margin: 0; overflow-wrap: anywhere; }}
ul {{ margin: 0; }}
li {{ overflow-wrap: anywhere; }}
</style>
</head>
<body>
<h1>{title}</h1>
{facts}{changes}</body>
</html>
"""


def render_html(changes: Changeset, *, title: str, facts: Iterable[tuple[str, str]] = ()) -> str:
    """A page with a heading, facts about what is compared (name, value), and a section per app."""
    parts = []
    if about := cluster_lines(changes.cluster_before, changes.cluster_after):
        parts.append(_section("cluster", "The cluster", about))
    parts += [_of_app(change) for change in changes]
    return _PAGE.format(
        title=_text(title),
        facts=_facts(facts),
        changes="".join(parts) or "<p>no differences</p>\n",
    )


def _of_app(change: AppChange) -> str:
    kind = "failed" if outcome(change) == "failed" else _CLASSES.get(change.operation, "changed")
    return _section(kind, sentence(change), lines(change))


def _section(kind: str, head: str, items: Sequence[str]) -> str:
    listed = "".join(f"<li>{_text(item)}</li>\n" for item in items)
    return f'<section class="{kind}">\n<h2>{_text(head)}</h2>\n' + (
        f"<ul>\n{listed}</ul>\n</section>\n" if items else "</section>\n"
    )


def _facts(facts: Iterable[tuple[str, str]]) -> str:
    listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in facts)
    return f"<dl>\n{listed}</dl>\n" if listed else ""


def _text(text: str) -> str:
    return escape(clean(text))
