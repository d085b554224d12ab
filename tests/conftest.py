"""What all suites share: in CI a skip is a failure and slow tests run; suites' times are told."""

from __future__ import annotations

import os
import signal
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


def pytest_configure() -> None:
    """Hear Ctrl-C: whoever runs tests in the background has it ignored, and so have children."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the soak unless `-m soak` asks for it, and slow tests by hand: CI runs them."""
    asked = config.option.markexpr or ""
    left_out = [] if "soak" in asked else ["soak"]
    left_out += [] if "slow" in asked or "soak" in asked or os.environ.get("CI") else ["slow"]
    kept, gone = [], []
    for item in items:
        (gone if any(map(item.get_closest_marker, left_out)) else kept).append(item)
    config.hook.pytest_deselected(items=gone)
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
    if not os.environ.get("CI"):
        terminalreporter.write_line("Slow tests run in CI, or with CI=true; the soak: make soak")
    for suite in sorted(_SECONDS):
        terminalreporter.write_line(
            f"{suite:<14} {_TESTS[suite]:>6} tests {_SECONDS[suite]:>7.1f} s"
        )
