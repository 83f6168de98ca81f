"""The count of the tests is honest: what did not run is never a pass, what broke is never silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import run_tests

REPORT = """
<testsuites><testsuite name="s">
  <testcase classname="tests.a" name="test_good"/>
  <testcase classname="tests.a" name="test_bad"><failure message="no"/></testcase>
  <testcase classname="tests.a" name="test_broken"><error message="fixture"/></testcase>
  <testcase classname="tests.b" name="test_absent"><skipped message="torch is not installed"/></testcase>
</testsuite></testsuites>
"""


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None, int], None]:
    """Make `python` a suite that leaves the given report, or none, and the given exit code."""

    def set_up(report: str | None, exit_code: int) -> None:
        def run(path: Path) -> int:
            if report is not None:
                path.write_text(report)
            return exit_code

        monkeypatch.setitem(run_tests.SUITES, "python", run)

    return set_up


def test_a_report_is_counted_by_what_happened_to_each_test(tmp_path: Path) -> None:
    (tmp_path / "report.xml").write_text(REPORT)

    result = run_tests.read_report("python", tmp_path / "report.xml", 1.0)

    absent = run_tests.NotRun("tests.b test_absent", "torch is not installed")
    assert result == run_tests.Result("python", passed=1, failed=2, not_run=[absent], seconds=1.0)


@pytest.mark.parametrize("report", [None, "", "<testsuites>", "<testsuites/>"])
def test_a_suite_without_a_report_is_a_failure_even_if_it_says_all_is_well(
    report: str | None, suite: Callable[[str | None, int], None], tmp_path: Path
) -> None:
    suite(report, 0)

    assert run_tests.run_suite("python", tmp_path / "report.xml").failed == 1


def test_a_suite_that_ends_badly_with_only_good_tests_is_a_failure(
    suite: Callable[[str | None, int], None], tmp_path: Path
) -> None:
    suite('<testsuites><testcase name="good"/></testsuites>', 3)

    result = run_tests.run_suite("python", tmp_path / "report.xml")

    assert (result.passed, result.failed) == (1, 1)


def test_without_chromium_the_browser_tests_are_reported_as_not_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))

    result = run_tests.run_suite("browser", tmp_path / "report.xml")
    run_tests.print_totals([result])

    assert (result.passed, result.failed, len(result.not_run)) == (0, 0, 1)
    printed = capsys.readouterr().out
    assert "apt-get install chromium" in printed
    assert printed.splitlines()[-1] == "0 passed, 0 failed, 1 skipped"
