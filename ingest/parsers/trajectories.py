"""Agents' runs as benchmarks keep them: tau-bench, SWE-agent, ATIF. Their scores are no facts here.

- tau-bench is a list of runs: task, trial, and messages as in Chat Completions. It has neither
  times nor a model, and ids of calls are not unique. Whom a task is about is content.
- SWE-agent's `.traj` is one object. Its steps are commands: the first word of `action` is the tool,
  and the step's `observation` the result. `replay_config`, where there is one (an object, or its
  JSON), names the model as asked for, the image, and the commit that it worked on. There are no
  times.
- ATIF (Agent Trajectory Interchange Format) is one object with `steps`; subagents' trajectories may
  lie inside. Models are as configured, for the agent or a step.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, ClassVar

from ingest.parsers.bounded import counted, said
from ingest.parsers.conversation import Conversation
from ingest.parsers.gathering import Gathered
from ingest.parsers.parser import Confidence, Reading
from ingest.parsers.reach import first_records, surest
from ingest.parsers.records import RecordReader, parse_embedded, shape_of
from verify.facts import Config

_DEEPEST = 8


class _Runs:
    """What the runs of one file add up to, and how they are told."""

    def __init__(self) -> None:
        self.gathered = Gathered()
        self.talk = Conversation(self.gathered)
        self.runs = 0
        self.steps = 0
        self.configured = False


class _RunParser:
    """Reads runs that are each one JSON object, one after another or in a list."""

    name: ClassVar[str]
    version = 1
    kinds: tuple[str, ...] = ("prompt", "tool_trace", "other")
    whole = True
    label: ClassVar[str]
    marks: ClassVar[tuple[bytes, ...]]

    def is_run(self, value: object) -> bool:
        """Whether a value is a run."""
        raise NotImplementedError

    def take(self, run: dict[str, Any], runs: _Runs) -> None:
        """Take a run."""
        raise NotImplementedError

    def detect(self, head: bytes, name: str) -> Confidence:
        """Certain where the first record is a run; likely where it goes on beyond the head."""
        del name
        if not all(re.search(mark, head) for mark in self.marks) or shape_of(head) is None:
            return Confidence.NONE
        return surest(first_records(head, most=1), self.is_run)

    def read(self, stream: BinaryIO, name: str) -> Reading:
        """Read every run; what is none is a bad record."""
        del name
        reader = RecordReader.of_any_shape(stream, resumes_at=self.is_run)
        runs = _Runs()
        for offset, value in reader:
            if self.is_run(value):
                runs.runs += 1
                runs.gathered.record()
                runs.talk.scope = str(runs.runs)
                runs.talk.begin()
                self.take(value, runs)
            else:
                reader.note_bad(offset, "no run")
        add = runs.gathered.add
        if runs.gathered.clock.quality == "none":
            add("not_captured", "times")
        add("not_captured", "returned model")
        facts = runs.gathered.facts(self, damage=reader)
        if not facts.models:
            add("not_captured", "requested model")
            facts = runs.gathered.facts(self, damage=reader)
        shown = (
            ("prompt", runs.talk.spoken),
            ("tool_trace", bool(runs.talk.calls)),
            ("config_snapshot", runs.configured),
        )
        kinds = tuple(kind for kind, there in shown if there) or ("other",)
        told = f"{counted(runs.runs, 'run')}, {counted(runs.steps, 'step')}, "
        told += counted(runs.talk.calls, "tool call")
        return Reading(facts, kinds, self.label, told)


class TauBenchParser(_RunParser):
    """Reads a list of tau-bench's runs."""

    name = "tau-bench"
    label = "tau-bench runs"
    marks = (rb'"task_id"\s*:', rb'"reward"\s*:', rb'"traj"\s*:\s*\[|"reward_info"\s*:')

    def is_run(self, value: object) -> bool:
        """A task, a trial, and the messages."""
        return (
            isinstance(value, dict)
            and {"task_id", "reward", "traj"} <= value.keys()
            and isinstance(value["traj"], list)
        )

    def take(self, run: dict[str, Any], runs: _Runs) -> None:
        """Take a run."""
        runs.gathered.add("runs", f"{said(run['task_id'])}/{said(run.get('trial'))}")
        runs.steps += len(run["traj"])
        for message in run["traj"]:
            runs.talk.message(message)


class SweAgentParser(_RunParser):
    """Reads a trajectory of SWE-agent."""

    name = "swe-agent"
    label = "SWE-agent trajectory"
    kinds = ("prompt", "tool_trace", "config_snapshot", "other")
    marks = (rb'"trajectory"\s*:\s*\[', rb'"action"\s*:', rb'"observation"\s*:')

    def is_run(self, value: object) -> bool:
        """Steps, and what else SWE-agent keeps."""
        if not isinstance(value, dict) or not isinstance(value.get("trajectory"), list):
            return False
        return isinstance(value.get("history"), list) or isinstance(value.get("info"), dict)

    def take(self, run: dict[str, Any], runs: _Runs) -> None:
        """Take a run."""
        steps = [step for step in run["trajectory"] if isinstance(step, dict)]
        runs.steps += len(steps)
        for number, step in enumerate(steps):
            action = step.get("action")
            if isinstance(action, str) and (words := action[:1000].split(maxsplit=1)):
                runs.talk.call(words[0], number)
                if step.get("observation") is not None:
                    runs.talk.result(number)
        for message in _list(run.get("history")):
            if isinstance(message, dict) and message.get("content"):
                runs.talk.spoken = True
        config = run.get("replay_config")
        config = parse_embedded(config) if isinstance(config, str) else config
        if isinstance(config, dict):
            runs.configured = True
            self._take_config(config, runs.gathered)

    def _take_config(self, config: dict[str, Any], gathered: Gathered) -> None:
        agent, env = _dict(config.get("agent")), _dict(config.get("env"))
        gathered.model(requested=_dict(agent.get("model")).get("name"))
        gathered.add("runs", _dict(config.get("problem_statement")).get("id"))
        keep = gathered.keep
        keep(Config("agent", said(agent.get("name")) or ""))
        keep(Config("image", said(_dict(env.get("deployment")).get("image")) or ""))
        repo = _dict(env.get("repo"))
        name = next(
            (repo[key] for key in ("github_url", "repo_name", "path") if said(repo.get(key))), None
        )
        keep(Config("commit", said(name) or "", said(repo.get("base_commit"))))
        template = _dict(agent.get("templates")).get("system_template")
        if isinstance(template, str) and template:
            digest = hashlib.sha256(template.encode("utf-8", "surrogatepass")).hexdigest()
            keep(Config("prompt", "system_template", digest=f"sha256:{digest}"))


class AtifParser(_RunParser):
    """Reads a trajectory in ATIF."""

    name = "atif"
    label = "ATIF trajectory"
    marks = (rb'"schema_version"\s*:\s*"ATIF-',)

    def is_run(self, value: object) -> bool:
        """The format's name in its version."""
        version = value.get("schema_version") if isinstance(value, dict) else None
        return isinstance(version, str) and version.startswith("ATIF-")

    def take(self, run: dict[str, Any], runs: _Runs) -> None:
        """Take a run, and the runs of its subagents."""
        for number, each in enumerate(_with_subagents(run)):
            runs.talk.scope = f"{runs.runs}/{number}"
            runs.talk.begin()
            self._take_one(each, runs)

    def _take_one(self, run: dict[str, Any], runs: _Runs) -> None:
        gathered, agent = runs.gathered, _dict(run.get("agent"))
        gathered.add("sessions", run.get("session_id"))
        name = said(agent.get("name")) or ""
        gathered.keep(Config("agent", name, said(agent.get("version"))))
        gathered.model(requested=agent.get("model_name"))
        for step in _list(run.get("steps")):
            if not isinstance(step, dict):
                continue
            runs.steps += 1
            time = gathered.time(step.get("timestamp"))
            gathered.model(requested=step.get("model_name"))
            runs.talk.spoken |= bool(step.get("message"))
            for call in _list(step.get("tool_calls")):
                if isinstance(call, dict):
                    runs.talk.call(call.get("function_name"), call.get("tool_call_id"), time)
            for result in _list(_dict(step.get("observation")).get("results")):
                if isinstance(result, dict) and result.get("source_call_id") is not None:
                    runs.talk.result(result["source_call_id"])


def _with_subagents(run: dict[str, Any], depth: int = 0) -> Iterator[dict[str, Any]]:
    yield run
    for inner in _list(run.get("subagent_trajectories")):
        if isinstance(inner, dict) and depth < _DEEPEST:
            yield from _with_subagents(inner, depth + 1)


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


PARSERS = (AtifParser(), SweAgentParser(), TauBenchParser())
