"""What all suites share: in CI a skip is a failure, and each suite's time is printed."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator

import pytest
from servers import postgres, s3


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[postgres.PostgresServer]:
    """A PostgreSQL server of this worker's own."""
    if postgres.find_programs() is None:
        pytest.skip(postgres.HOW)
    with postgres.running() as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.S3Server]:
    """An S3 server of this worker's own; AWS clients find its credentials in the environment."""
    if s3.find_weed() is None:
        pytest.skip(s3.HOW)
    with s3.running(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        yield server


@pytest.fixture(scope="module")
def s3_bucket(s3_server: s3.S3Server) -> s3.S3Bucket:
    """A bucket with Object Lock of this module's own."""
    return s3.make_bucket(s3_server)


_SECONDS: dict[str, float] = defaultdict(float)
_TESTS: dict[str, int] = defaultdict(int)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the long runs unless they are asked for by `-m soak`."""
    if "soak" in (config.option.markexpr or ""):
        return
    kept = [item for item in items if not item.get_closest_marker("soak")]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    """In CI turn a skip into a failure."""
    report = yield
    if os.environ.get("CI") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped in CI, where every suite is required: {report.longrepr}"
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the time of each suite, on whichever worker it ran."""
    suite = report.nodeid.split("/")[1] if "/" in report.nodeid else "tests"
    _SECONDS[suite] += report.duration
    _TESTS[suite] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """One line a suite: how many tests, how long."""
    terminalreporter.section("suites")
    for suite in sorted(_SECONDS):
        terminalreporter.write_line(
            f"{suite:<14} {_TESTS[suite]:>6} tests {_SECONDS[suite]:>7.1f} s"
        )
