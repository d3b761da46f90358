"""Tells a night's cells in Markdown, and with --issue keeps the one issue about them.

    regression.py FOLDER [--issue]

FOLDER has what `gh run download` made of the cells' artifacts: verdict-<cloud>-<operator>/ with verdict and report.json.
CLOUDS and OPERATORS (JSON) say which cells there are, RUN is the run's URL. gh finds GH_TOKEN and GH_REPO itself.

A cell that failed is a regression, and so is one without a verdict: nobody knows. One that is unproven is neither that nor
a proof that all is well again: it opens no issue, and closes none.
"""

import json
import os
import re
import subprocess
import sys
from html import escape
from pathlib import Path

LABEL = "regression"
TITLE = "The nightly conformance run fails"
NONE = "no verdict"
# Claims of one cell that the issue has.
CLAIMS = 3
# GitHub takes 64 KiB for an issue: the report has all of it.
LETTERS = 2000


def read(path):
    """The claims of a run, as (subject, claim, outcome, reason)."""
    claims = json.loads(path.read_text(encoding="utf-8"))["verdicts"]
    about = lambda claim: " ".join(filter(None, (claim.get("cloud"), claim["subject"])))
    return [(about(claim), claim["claim"], claim["outcome"], claim.get("reason", "")) for claim in claims]


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


def cells(folder, clouds, operators):
    """Cell → its verdict and the claims that failed."""
    found = {}
    for operator in operators:
        for cloud in clouds:
            place = Path(folder) / f"verdict-{cloud}-{operator}"
            verdict = (place / "verdict").read_text().strip() if (place / "verdict").exists() else ""
            report = place / "report.json"
            failed = [claim for claim in read(report) if claim[2] == "failed"] if report.exists() else []
            found[f"{cloud} {operator}"] = (verdict or NONE, failed)
    return found


def table(found):
    """Cloud and operator, and the verdict."""
    lines = ["| cell | verdict |", "|---|---|"]
    for cell, (verdict, _) in found.items():
        lines.append(f"| {cell} | {'**' + verdict + '**' if verdict != 'passed' else verdict} |")
    if any(verdict == "unproven" for verdict, _ in found.values()):
        lines += ["", "⚠️ What is unproven is no regression, and no pass: its canaries or a claim could not be judged."]
    return "\n".join(lines)


def broken(found):
    """The cells for which there is an issue."""
    return [cell for cell, (verdict, _) in found.items() if verdict in ("failed", NONE)]


def mark(found):
    """Which cells an issue is about, for the next night."""
    return f"<!-- cells: {', '.join(broken(found))} -->"


def body(found, run):
    """Text of the issue."""
    lines = [mark(found), f"Last failing run: {run}", "", table(found)]
    for cell in broken(found):
        lines += ["", f"### {cell}"]
        claims = found[cell][1]
        if not claims:
            lines += ["", "Nothing says which claim: the job's log does."]
        for subject, claim, _, reason in claims[:CLAIMS]:
            lines += ["", f"{plain(subject)} {plain(claim)}", "", fenced(reason)]
        if len(claims) > CLAIMS:
            lines += ["", f"… and {len(claims) - CLAIMS} more, in the job's summary."]
    return "\n".join(lines) + "\n"


def gh(*arguments, text=None):
    """What gh prints."""
    done = subprocess.run(["gh", *arguments], input=text, text=True, check=True, stdout=subprocess.PIPE)
    return done.stdout


def keep(found, run):
    """Opens, updates or closes the issue."""
    listed = gh("issue", "list", "--label", LABEL, "--state", "open", "--limit", "100", "--json", "number,title,body")
    # Others may use the label for issues of their own.
    issue = next((one for one in json.loads(listed) if one["title"] == TITLE), None)
    number = str(issue["number"]) if issue else ""
    if broken(found) and not issue:
        gh("label", "create", LABEL, "--color", "B60205", "--description", "What worked before and does not now", "--force")
        gh("issue", "create", "--title", TITLE, "--label", LABEL, "--body-file", "-", text=body(found, run))
    elif broken(found):
        gh("issue", "edit", number, "--body-file", "-", text=body(found, run))
        # Nobody is told twice of the same.
        if mark(found) not in issue["body"]:
            gh("issue", "comment", number, "--body", f"Now these fail: {', '.join(broken(found))}. {run}")
    elif issue and all(verdict == "passed" for verdict, _ in found.values()):
        gh("issue", "close", number, "--comment", f"All cells pass again: {run}")


if __name__ == "__main__":
    night = cells(sys.argv[1], json.loads(os.environ["CLOUDS"]), json.loads(os.environ["OPERATORS"]))
    if sys.argv[2:] == ["--issue"]:
        keep(night, os.environ["RUN"])
    else:
        print(f"## Nightly\n\n{table(night)}")
