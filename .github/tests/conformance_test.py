"""The action's run, with a stand-in for the harness."""

import tempfile
import unittest
from pathlib import Path

from scripts import REPORT, SCRIPTS, outputs, run, stand_in

# Says its arguments, and leaves a report as the harness does.
REPORTS = f"""printf '<%s>' "$@" >"$SEEN"
while [ "$1" != --report ]; do shift; done
mkdir "$2/e2e-1" && cp {REPORT} "$2/e2e-1/report.json"
"""


class Conformance(unittest.TestCase):
    def setUp(self):
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def conformance(self, script, **inputs):
        env = stand_in(self.folder, "cargo", script)
        (self.folder / "output").write_text("")
        env |= {"GITHUB_OUTPUT": str(self.folder / "output"), "RUNNER_TEMP": str(self.folder), "PLATFORM": "."}
        done = run(SCRIPTS / "conformance.sh", env=env | {"SEEN": str(self.folder / "seen")} | inputs)
        return done, outputs(self.folder / "output")

    def test_the_exit_code_is_the_verdict(self):
        for code, verdict in ((0, "passed"), (1, "failed"), (2, "unproven")):
            done, told = self.conformance(f"{REPORTS}exit {code}")
            self.assertEqual((done.returncode, told["verdict"]), (0, verdict), done.stderr)
            self.assertTrue((Path(told["report"]) / "report.json").exists())

    def test_without_a_report_or_with_another_code_there_is_no_verdict(self):
        for script in ("exit 0", "exit 1", "exit 2", "exit 3", "exit 101", f"{REPORTS}exit 4", f"{REPORTS}exit 101"):
            done, told = self.conformance(script)
            self.assertEqual((done.returncode, told.get("verdict")), (1, None), script)
            self.assertIn("::error title=trinity-e2e has no verdict::", done.stdout)

    def test_inputs_become_arguments_and_nothing_else(self):
        hostile = "$(touch broken) * \"quoted words\"; touch broken"
        done, told = self.conformance(REPORTS, CLOUDS="aws\n gcp ", OPERATOR="2.4.1; touch broken", ARGS=hostile)
        seen = (self.folder / "seen").read_text()
        self.assertIn("<--cloud><aws><--cloud><gcp><--operator><2.4.1; touch broken><$(touch><broken)><*>", seen)
        self.assertIn('<"quoted><words";>', seen)
        self.assertEqual(told["artifact"], "trinity-e2e-aws-gcp-2.4.1touchbroken", done.stderr)
        self.assertFalse(Path("broken").exists())

    def test_without_inputs_there_are_no_arguments(self):
        _, told = self.conformance(REPORTS, CLOUDS="", OPERATOR="", ARGS="")
        seen = (self.folder / "seen").read_text()
        self.assertRegex(seen, r"<--><e2e><--platform><\.><--report><[^>]*>$")
        self.assertEqual(told["artifact"], "trinity-e2e")


class Keys(unittest.TestCase):
    def test_releases_of_the_operator_share_all_but_the_last_part(self):
        with tempfile.TemporaryDirectory() as folder:
            # A cache is root's.
            env = stand_in(folder, "id", "echo 0") | {"CACHE": "true", "GITHUB_OUTPUT": f"{folder}/output"}
            for operator, end in (("", "-pinned"), ("2.9.0", "-2.9.0"), ("2.9.0\nx=y", "-2.9.0xy")):
                Path(folder, "output").write_text("")
                self.assertEqual(run(SCRIPTS / "keys.sh", env=env | {"OPERATOR": operator}).returncode, 0)
                told = outputs(Path(folder, "output"))
                self.assertTrue(told["components-key"].endswith(end), told)
                self.assertTrue(told["components-key"].startswith(told["components-prefix"]))
                self.assertNotIn("x", told)

    def test_another_user_than_root_has_no_cache(self):
        with tempfile.TemporaryDirectory() as folder:
            env = stand_in(folder, "id", "echo 1000") | {"CACHE": "true", "GITHUB_OUTPUT": f"{folder}/output"}
            run(SCRIPTS / "keys.sh", env=env)
            self.assertEqual(outputs(Path(folder, "output")), {"cache": "false"})


if __name__ == "__main__":
    unittest.main()
