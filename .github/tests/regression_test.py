"""The issue about the night, with a stand-in for gh."""

import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

from scripts import REPORT, SCRIPTS, run, stand_in

from regression import LABEL, TITLE, body, cells, fenced, plain, read

# Notes what it is called with, and has the issues of a file.
GH = """printf '%s ' "$@" >>"$FOLDER/calls"; echo >>"$FOLDER/calls"
case "$1 $2" in
    'issue list') cat "$FOLDER/issues" ;;
    'issue create' | 'issue edit') cat >"$FOLDER/body" ;;
esac
"""


class Regression(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def night(self, verdicts, issues=(), argument="--issue"):
        """What gh was told, and what was printed."""
        for name in ("calls", "body"):
            (self.folder / name).write_text("")
        (self.folder / "issues").write_text(json.dumps(issues))
        shutil.rmtree(self.folder / "verdicts", ignore_errors=True)
        for cell, verdict in verdicts.items():
            place = self.folder / "verdicts" / f"verdict-{cell}"
            place.mkdir(parents=True)
            (place / "verdict").write_text(f"{verdict}\n")
            if verdict:
                shutil.copy(REPORT, place)
        env = stand_in(self.folder, "gh", GH)
        env |= {"FOLDER": str(self.folder), "CLOUDS": '["aws", "gcp"]', "OPERATORS": '["2.4.1"]', "RUN": "https://run/1"}
        done = run(sys.executable, SCRIPTS / "regression.py", self.folder / "verdicts", argument, env=env)
        self.assertEqual(done.returncode, 0, done.stderr)
        calls = [" ".join(line.split()[:2]) for line in (self.folder / "calls").read_text().splitlines()]
        return calls, done.stdout

    def test_what_failed_opens_one_issue_with_the_causes(self):
        calls, _ = self.night({"aws-2.4.1": "failed", "gcp-2.4.1": "passed"})
        self.assertEqual(calls, ["issue list", "label create", "issue create"])
        text = (self.folder / "body").read_text()
        self.assertIn("| aws 2.4.1 | **failed** |\n| gcp 2.4.1 | passed |", text)
        self.assertIn("### aws 2.4.1\n", text)
        self.assertIn("identity-refused: the role does not trust", text)
        self.assertNotIn("### gcp", text)

    def test_a_cell_without_a_verdict_is_not_forgotten(self):
        for verdicts in ({"gcp-2.4.1": "passed"}, {"gcp-2.4.1": "passed", "aws-2.4.1": ""}, {}):
            calls, _ = self.night(verdicts)
            self.assertIn("issue create", calls)
            self.assertIn("| aws 2.4.1 | **no verdict** |", (self.folder / "body").read_text())

    def test_the_same_again_updates_the_issue_and_tells_nobody(self):
        self.night({"aws-2.4.1": "failed", "gcp-2.4.1": "passed"})
        before = {"number": 7, "title": TITLE, "body": (self.folder / "body").read_text()}
        calls, _ = self.night({"aws-2.4.1": "failed", "gcp-2.4.1": "unproven"}, [before])
        self.assertEqual(calls, ["issue list", "issue edit"])
        calls, _ = self.night({"aws-2.4.1": "failed", "gcp-2.4.1": "failed"}, [before])
        self.assertEqual(calls, ["issue list", "issue edit", "issue comment"])

    def test_green_again_closes_it(self):
        calls, _ = self.night({"aws-2.4.1": "passed", "gcp-2.4.1": "passed"}, [{"number": 7, "title": TITLE, "body": ""}])
        self.assertEqual(calls, ["issue list", "issue close"])
        self.assertIn(f"--label {LABEL}", (self.folder / "calls").read_text())

    def test_what_is_unproven_opens_and_closes_nothing(self):
        for issues in ([], [{"number": 7, "title": TITLE, "body": ""}]):
            calls, _ = self.night({"aws-2.4.1": "passed", "gcp-2.4.1": "unproven"}, issues)
            self.assertEqual(calls, ["issue list"])

    def test_issues_of_others_are_left_alone(self):
        other = {"number": 8, "title": "something else", "body": ""}
        self.assertEqual(self.night({"aws-2.4.1": "passed", "gcp-2.4.1": "passed"}, [other])[0], ["issue list"])
        self.assertIn("issue create", self.night({"gcp-2.4.1": "passed"}, [other])[0])

    def test_the_summary_calls_nobody_and_warns_of_what_is_unproven(self):
        calls, text = self.night({"aws-2.4.1": "passed", "gcp-2.4.1": "unproven"}, argument="")
        self.assertEqual(calls, [])
        self.assertIn("| gcp 2.4.1 | **unproven** |", text)
        self.assertIn("no regression, and no pass", text)

    def test_claims_have_their_clouds_and_causes_their_lines(self):
        claims = {claim[1]: claim for claim in read(REPORT)}
        self.assertEqual([claim[2] for claim in claims.values()], ["passed", "failed", "not-run", "failed", "unproven"])
        subject, _, _, cause = claims["root and all its applications are Synced and Healthy"]
        self.assertEqual(subject, "aws platform")
        self.assertTrue(cause.splitlines()[2].startswith("  next: "), cause)

    def test_text_of_others_is_no_markup(self):
        self.assertEqual(plain("a|b <b> @me `c`"), "<code>a&#124;b &lt;b&gt; &#64;me &#96;c&#96;</code>")
        self.assertTrue(fenced("```\nescaped").startswith("````text\n"))

    def test_a_bad_night_fits_into_an_issue(self):
        clouds, operators = ["aws", "gcp", "azure"], ["0.20.4", "2.4.1", "2.9.0"]
        night = cells(self.folder, clouds, operators)
        night = {cell: ("failed", [("suites", "claim", "failed", "x" * 100000)] * 50) for cell in night}
        self.assertEqual(len(night), 9)
        self.assertLess(len(body(night, "https://run/1")), 65536)


if __name__ == "__main__":
    unittest.main()
