"""The summary of a junit.xml that the harness' own library has written."""

import tempfile
import unittest
from pathlib import Path

from scripts import JUNIT

from summary import CLAIMS, fenced, plain, read, summary


class Summary(unittest.TestCase):
    def test_claims_have_their_outcomes_and_causes_their_lines(self):
        claims = {claim[1]: claim for claim in read(JUNIT)}
        outcomes = [claim[2] for claim in claims.values()]
        self.assertEqual(outcomes, ["passed", "failed", "not run", "passed", "passed", "failed", "unproven"])
        cause = claims["trinity-root-aws and all its applications are Synced and Healthy"][3].splitlines()
        self.assertTrue(cause[0].startswith("identity-refused: ") and cause[2].startswith("  next: "), cause)
        self.assertEqual(claims["foreign pool is refused"][3], "the cloud let it in")
        self.assertIn("although | refused", claims["denied::case_2_gcp"][3])

    def test_everything_is_counted(self):
        text = summary(read(JUNIT), "aws: failed")
        self.assertIn("## aws: failed\n\n3 passed, 2 failed, 1 unproven, 1 not run\n", text)
        self.assertIn("| <code>aws canaries</code> | 2 |  |  |  |", text)
        self.assertIn("What passed proves nothing.", text)
        self.assertIn("its registry is out of reach", text)

    def test_what_passed_has_no_sections(self):
        text = summary([("aws canaries", "forged signature is refused", "passed", "")], "aws: passed")
        self.assertNotIn("###", text)
        self.assertNotIn("<details>", text)

    def test_an_error_that_is_not_unproven_failed(self):
        text = JUNIT.read_text(encoding="utf-8").replace("unproven: ", "could not be started: ")
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "junit.xml")
            copy.write_text(text, encoding="utf-8")
            self.assertEqual(read(copy)[-1][2], "failed")

    def test_text_of_others_is_no_markup(self):
        self.assertEqual(plain("a|b <b> @me `c`"), "<code>a&#124;b &lt;b&gt; &#64;me &#96;c&#96;</code>")
        self.assertTrue(fenced("```\nescaped").startswith("````text\n"))

    def test_long_is_cut(self):
        text = summary([("suites", f"claim {n}", "failed", "x" * 100000) for n in range(CLAIMS + 5)], "long")
        self.assertLess(len(text), 60000)
        self.assertIn("… and 5 more", text)


if __name__ == "__main__":
    unittest.main()
