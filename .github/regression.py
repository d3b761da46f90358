"""Tells a night's cells in Markdown, and with --issue keeps the one issue about them.

    regression.py FOLDER [--issue]

FOLDER has what `gh run download` made of the cells' artifacts: verdict-<cloud>-<operator>/ with verdict and junit.xml.
CLOUDS and OPERATORS (JSON) say which cells there are, RUN is the run's URL. gh finds GH_TOKEN and GH_REPO itself.

A cell that failed is a regression, and so is one without a verdict: nobody knows. One that is unproven is neither that nor
a proof that all is well again: it opens no issue, and closes none.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

from summary import fenced, plain, read

LABEL = "regression"
TITLE = "The nightly conformance run fails"
NONE = "no verdict"
# Claims of one cell that the issue has.
CLAIMS = 3


def cells(folder, clouds, operators):
    """Cell → its verdict and the claims that failed."""
    found = {}
    for operator in operators:
        for cloud in clouds:
            place = Path(folder) / f"verdict-{cloud}-{operator}"
            verdict = (place / "verdict").read_text().strip() if (place / "verdict").exists() else ""
            junit = place / "junit.xml"
            failed = [claim for claim in read(junit) if claim[2] == "failed"] if junit.exists() else []
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
