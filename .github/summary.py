"""Tells a run's junit.xml in Markdown, for the summary of a job.

    summary.py JUNIT [TITLE]
"""

import re
import sys
import xml.etree.ElementTree as xml
from collections import Counter
from html import escape

OUTCOMES = ("passed", "failed", "unproven", "not run")
# GitHub takes 1 MiB a step, and 64 KiB for an issue: the report has all of it.
CLAIMS = 20
LETTERS = 2000


def read(path):
    """The claims, as (subject, claim, outcome, reason)."""
    with open(path, encoding="utf-8") as file:
        text = file.read()
    # A reader of XML takes a line's end in an attribute for a space, and causes have lines.
    text = re.sub(r'message="[^"]*"', lambda found: found[0].replace("\n", "&#10;"), text)
    claims = []
    for suite in xml.fromstring(text).iter("testsuite"):
        for case in suite.iter("testcase"):
            outcome, reason = "passed", ""
            for kind, meaning in (("skipped", "not run"), ("error", "unproven"), ("failure", "failed")):
                part = case.find(kind)
                if part is not None:
                    outcome, reason = meaning, "\n".join(filter(None, (part.get("message"), part.text)))
            # The harness says that of what is unproven; any other error is a test that did not get to its claim.
            if outcome == "unproven" and not reason.startswith("unproven: "):
                outcome = "failed"
            reason = reason.removeprefix("unproven: ").strip()
            claims.append((suite.get("name", ""), case.get("name", ""), outcome, reason))
    return claims


def plain(text):
    """Text that is neither markup nor mention, wherever it came from."""
    text = re.sub(r"[|*_`\[\]\\~#@]", lambda found: f"&#{ord(found[0])};", escape(" ".join(text.split())))
    return f"<code>{text}</code>" if text else ""


def fenced(text):
    """Text with its lines; the fence is longer than any in it."""
    if len(text) > LETTERS:
        text = text[:LETTERS] + " …"
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))
    return f"{fence}text\n{text}\n{fence}"


def told(claims, outcome):
    """The claims with that outcome, with reasons."""
    chosen = [claim for claim in claims if claim[2] == outcome]
    lines = []
    for subject, claim, _, reason in chosen[:CLAIMS]:
        lines += ["", f"{plain(subject)} {plain(claim)}"] + (["", fenced(reason)] if reason else [])
    if len(chosen) > CLAIMS:
        lines += ["", f"… and {len(chosen) - CLAIMS} more, in the report."]
    return lines


def summary(claims, title):
    """The whole summary."""
    counts = Counter(claim[2] for claim in claims)
    words = ", ".join(f"{counts[outcome]} {outcome}" for outcome in OUTCOMES)
    lines = [f"## {title}", "", words, ""]
    lines += ["| | " + " | ".join(OUTCOMES) + " |", "|---" + "|--:" * len(OUTCOMES) + "|"]
    for subject in dict.fromkeys(claim[0] for claim in claims):
        own = Counter(claim[2] for claim in claims if claim[0] == subject)
        lines.append(f"| {plain(subject)} | " + " | ".join(str(own[outcome] or "") for outcome in OUTCOMES) + " |")
    if counts["failed"]:
        lines += ["", "### Failed"] + told(claims, "failed")
    if counts["unproven"]:
        lines += ["", "### Unproven", "", "What passed proves nothing."] + told(claims, "unproven")
    if counts["not run"]:
        lines += ["", f"<details><summary>Not run: {counts['not run']}</summary>"]
        lines += told(claims, "not run") + ["", "</details>"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(summary(read(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "trinity-e2e"))
