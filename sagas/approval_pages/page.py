"""The page as HTML: what is asked, the form, what became of it. Everything that people wrote is escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from typing import Any, Final

from amends.sagas.approval_pages.fields import PREFIX, Field, fields_of
from amends.sagas.deciding import Approval

STYLE: Final = """
:root { color-scheme: light dark; font: 17px/1.5 system-ui, sans-serif; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 36rem; }
h1 { font-size: 1.4rem; line-height: 1.25; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }
dt { opacity: .7; } dd { margin: 0; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: .75rem; border: 1px solid #8886; }
label { display: block; margin: 1rem 0; } label span { display: block; font-weight: 600; }
small { display: block; opacity: .75; }
input, select, textarea { font: inherit; width: 100%; box-sizing: border-box; padding: .5rem; }
p.error, p.done { border-left: 4px solid #c0392b; padding: .25rem .75rem; }
p.done { border-color: #27864d; }
button { font: inherit; padding: .6rem 1.2rem; margin: .5rem .5rem 0 0; border-radius: 6px; }
button.yes { background: #1f6f43; color: #fff; } button.no { background: #8e2b20; color: #fff; }
"""
HASH: Final = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS: Final[Mapping[str, str]] = {
    "content-type": "text/html; charset=utf-8",
    "cache-control": "no-store",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{HASH}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex, nofollow",
}
"""No script, no other site, no frame, no trace of the address elsewhere."""


def page(title: str, *parts: str) -> bytes:
    """Give a whole page."""
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    head = f"{view}<title>{escape(title)}</title>"
    body = "".join(parts)
    return (
        f"<!doctype html><html lang=en><head>{head}<style>{STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>"
    ).encode("utf-8", "replace")


def shown(approval: Approval, person: str) -> str:
    """Show what is asked, and of whom."""
    facts = {"You are": person, "Asked by": approval.requested_by, "Run": approval.run_id}
    if approval.expires_at is not None:
        facts["Until"] = f"{approval.expires_at:%Y-%m-%d %H:%M} UTC"
    if approval.quorum > 1:
        others = f" ({', '.join(approval.voters)})" if approval.voters else ""
        facts["Approved by"] = f"{len(approval.voters)} of {approval.quorum}{others}"
    told = {name: str(said) for name, said in facts.items() if said}
    return f"{_listed(told)}{details(approval.details)}"


def details(given: Any) -> str:
    """Show an approval's details: a list of names and values where they are one, otherwise JSON."""
    if given is None:
        return ""
    if isinstance(given, dict) and all(not isinstance(value, dict | list) for value in given.values()):
        return _listed({str(name): _plain(value) for name, value in given.items()})
    return f"<pre>{escape(_plain(given))}</pre>"


def form(approval: Approval, given: Mapping[str, str] | None, error: str) -> str:
    """Show what may be filled in, with what was, and the two buttons."""
    fields = fields_of(approval.form)
    before = approval.values if isinstance(approval.values, dict) else {}
    inputs = "".join(field.html(_filled(field, given, before)) for field in fields)
    reason = escape("" if given is None else given.get("reason", ""))
    problem = f"<p class=error role=alert>{escape(error)}</p>" if error else ""
    return (
        f"{problem}<form method=post>{inputs}"
        f"<label><span>Reason</span><textarea name=reason rows=2>{reason}</textarea>"
        "<small>Wanted when you reject; kept with the decision.</small></label>"
        "<button class=yes name=decision value=approve>Approve</button>"
        "<button class=no name=decision value=reject>Reject</button></form>"
    )


def outcome(approval: Approval) -> str:
    """Say what became of an approval."""
    who = f" by {escape(approval.decided_by)}" if approval.decided_by else ""
    when = f" on {approval.decided_at:%Y-%m-%d at %H:%M} UTC" if approval.decided_at else ""
    why = f"<p>{escape(approval.reason)}</p>" if approval.reason else ""
    return f"<p class=done>It is {approval.status}{who}{when}.</p>{why}"


def said(words: str, *, error: bool = False) -> str:
    """Say a sentence."""
    return f"<p class={'error' if error else 'done'}>{escape(words)}</p>"


def _filled(field: Field, given: Mapping[str, str] | None, before: Mapping[str, Any]) -> str:
    if given is not None and PREFIX + field.name in given:
        return given[PREFIX + field.name]
    return field.text(before.get(field.name, field.schema.get("default")))


def _listed(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(said)}</dd>" for name, said in facts.items())
    return f"<dl>{rows}</dl>"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=1)
