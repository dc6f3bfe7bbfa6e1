"""A cluster in memory, for stories about the plan: it does what the controllers would do.

It is a fake and only for unit tests: objects are stored as applied, pods become ready when the
story says so. What the real controllers do is tested in `tests/cluster` and `tests/e2e`.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any

from chatagent_operator.api.status import ChatAgentStatus
from chatagent_operator.api.v1alpha1 import ChatAgentSpec
from chatagent_operator.core import names
from chatagent_operator.core.agent import Agent, Platform
from chatagent_operator.core.children.evaluation import build_report
from chatagent_operator.core.judging.analysis import Histogram, Reading, Tally
from chatagent_operator.core.observed.applied_routes import Applied
from chatagent_operator.core.observed.objects import Observed, project
from chatagent_operator.core.observed.trouble import Trouble
from chatagent_operator.core.ownership import build_claim, find_obstacle
from chatagent_operator.core.plan import Plan, plan
from chatagent_operator.core.rollout.commands import Command, Unreadable
from chatagent_operator.core.writes import Apply, Create, Delete, Scale, Write

PLATFORM = Platform({name: f"{name}:1" for name in ("operator", "haproxy", "chroma", "redis")})


def spec(image: str = "runtime:1", **changes: Any) -> dict[str, Any]:
    """A minimal spec."""
    sources = [{"name": "help", "configMap": {"name": "help"}}]
    return {"image": image, "knowledge": {"sources": sources}} | changes


@dataclass
class Cluster:
    """One ChatAgent named `shop` in namespace `demo`, and everything made for it."""

    spec: dict[str, Any] = field(default_factory=spec)
    status: ChatAgentStatus = field(default_factory=ChatAgentStatus)
    objects: dict[tuple[str, str], dict[str, Any]] = field(
        default_factory=dict[tuple[str, str], dict[str, Any]]
    )
    sources: dict[str, str] = field(default_factory=lambda: {"help": "c0ffee"})
    reports: dict[str, Trouble] = field(default_factory=dict[str, Trouble])
    command: Command | Unreadable | None = None
    broken_images: set[str] = field(default_factory=set[str])
    refused: dict[tuple[str, str], Trouble] = field(default_factory=dict[tuple[str, str], Trouble])
    """StatefulSets and Jobs whose pods the API server refuses."""
    room: int = 100
    """Pods of the agent for which the scheduler has room."""
    gateway_follows: bool = True
    """The gateway does what it is told, by the next look."""
    lagging: int | None = None
    """The generation that one gateway pod stays at."""
    behind: float = 0
    """For how many seconds."""
    tallies: dict[str, Tally] = field(default_factory=dict[str, Tally])
    """What each image's pods have counted, by image. None: there is nothing to read."""
    lost: int | None = None
    """Facts of 20 that the new revision's answers lack. None: the questions are still asked."""
    has_logs: bool = True
    """The API server reads them to whoever asks."""
    story: list[str] = field(default_factory=list[str])
    clock: int = 0
    version: int = 0
    verified: dict[tuple[str, str], tuple[str | None, bytes]] = field(
        default_factory=dict[tuple[str, str], tuple[str | None, bytes]]
    )

    def look(self) -> Plan:
        """One reconcile: plan and write."""
        made = self.plan()
        for action in (*made.writes, *made.deletions):
            self.write(action)
        for event in made.events:
            self.story.append(f"{event.type} {event.reason}: {event.message}")
        self.status = made.status
        if made.unstored_report and self.has_logs:
            body = build_report(self.agent, made.unstored_report, self._report())
            body["metadata"]["resourceVersion"] = "1"
            self.objects["ConfigMap", made.unstored_report.job] = body
        return made

    def plan(self) -> Plan:
        """What a reconcile would do now."""
        self.clock += 1
        now = self.now()
        observed = self.observed()
        return plan(self.agent, self.status, observed, self.command, PLATFORM, now)

    @property
    def agent(self) -> Agent:
        """As the operator reads it."""
        return Agent("demo", "shop", "uid-1", 1, ChatAgentSpec.model_validate(self.spec))

    def observed(self) -> Observed:
        """What a reconcile would see now."""
        children = {
            key: child
            for key, body in self.objects.items()
            if (child := project(key[0], body)) is not None
        }
        refused = {key: self.refused[key] for key in children.keys() & self.refused.keys()}
        return Observed(
            children,
            self.sources,
            self.reports,
            self._applied(),
            self._reading(),
            refused=refused,
            verified=self.verified,
        )

    def now(self, every: int = 1) -> str:
        """The time of the story, as of the last full interval of so many seconds."""
        hours, seconds = divmod(self.clock // every * every, 3600)
        return f"2026-01-{1 + hours // 24:02}T{hours % 24:02}:{seconds // 60:02}:{seconds % 60:02}Z"

    def settle(self) -> Plan:
        """Look until nothing is left to write; pods become ready and Jobs complete meanwhile.

        Returns the last plan.
        """
        for _ in range(60):
            before = self.status
            made = self.look()
            moved = self.controllers()
            moved |= made.unstored_report is not None and self.has_logs
            if not made.writes and not made.deletions and not moved and self.status == before:
                return made
        raise AssertionError("it never settles")

    def wait(self, seconds: int) -> Plan:
        """Let time pass, then settle."""
        self.clock += seconds
        return self.settle()

    def _applied(self) -> Applied:
        routes = self.objects.get(("ConfigMap", "shop-routes"))
        if routes is None or not self.gateway_follows:
            return Applied()
        if self.lagging is not None:
            return Applied(self.lagging, behind={"shop-gateway-1": self.behind})
        text = json.loads(routes["data"]["routes.json"])
        reached = frozenset(backend["revision"] for backend in text["backends"])
        return Applied(int(text["generation"]), reached)

    def _reading(self) -> Reading | None:
        rollout, images = self.status.rollout, self._images()
        canary, stable = self.status.canary_revision, self.status.stable_revision
        if not (rollout.weighted_at and canary and stable and self.tallies):
            return None
        first, second = (self.tallies.get(images[name], Tally()) for name in (canary, stable))
        now = self.now(30)
        return Reading(now, rollout.weighted_at, first, second)

    def _images(self) -> dict[str, str]:
        return {
            body["metadata"]["labels"][names.REVISION_LABEL]: body["spec"]["template"]["spec"][
                "containers"
            ][0]["image"]
            for (kind, _), body in self.objects.items()
            if kind == "Deployment" and names.REVISION_LABEL in body["metadata"]["labels"]
        }

    def revisions(self) -> list[str]:
        """Revisions that have a Deployment."""
        return sorted(
            body["metadata"]["labels"][names.REVISION_LABEL]
            for (kind, _), body in self.objects.items()
            if kind == "Deployment" and names.REVISION_LABEL in body["metadata"]["labels"]
        )

    def weights(self) -> dict[str, int]:
        """Weight of each revision that takes conversations, as the gateway is told."""
        text = self.objects["ConfigMap", "shop-routes"]["data"]["routes.json"]
        return {
            backend["revision"]: backend["weight"]
            for backend in json.loads(text)["backends"]
            if backend["state"] == "ready"
        }

    def state_of(self, revision: str) -> str:
        """State of a revision, as the gateway is told."""
        text = self.objects["ConfigMap", "shop-routes"]["data"]["routes.json"]
        backends = {each["revision"]: each["state"] for each in json.loads(text)["backends"]}
        return str(backends[revision])

    def condition(self, kind: str) -> tuple[str, str]:
        """Status and reason of a condition."""
        (found,) = [c for c in self.status.conditions if c.type == kind]
        return found.status, found.reason

    def message(self, kind: str) -> str:
        """Message of a condition."""
        (found,) = [c for c in self.status.conditions if c.type == kind]
        return found.message

    def write(self, action: Write) -> None:
        """Carry out one write."""
        self.version += 1
        match action:
            case Apply(desired, False) if (desired.kind, desired.name) in self.objects:
                metadata = self.objects[desired.kind, desired.name]["metadata"]
                wanted, found = desired.render()["metadata"], {"uid": ""} | metadata
                if find_obstacle(desired.kind, wanted, found) is None:
                    claim = build_claim(wanted, found) or {}
                    metadata |= claim | {"labels": metadata["labels"] | claim.get("labels", {})}
            case Apply(desired, _):
                body = desired.render()
                metadata = body["metadata"]
                key = (desired.kind, desired.name)
                old = self.objects.get(key, {})
                was = old.get("metadata", {})
                metadata = metadata | {
                    "annotations": metadata.get("annotations", {})
                    | {names.APPLIED_ANNOTATION: desired.digest},
                    "generation": was.get("generation", 0) + 1,
                    "resourceVersion": str(self.version),
                    "creationTimestamp": was.get("creationTimestamp") or self.now(3600),
                }
                self.objects[key] = (
                    json.loads(json.dumps(body))
                    | {"metadata": metadata}
                    | ({"status": old["status"]} if "status" in old else {})
                )
                if desired.kind == "Service":
                    self.objects[key]["spec"].setdefault("clusterIP", f"10.96.0.{self.version}")
            case Create(kind, name, render):
                body = json.loads(json.dumps(render("made-up")))
                body["metadata"] |= {
                    "uid": f"{kind}-{self.version}",
                    "resourceVersion": str(self.version),
                    "creationTimestamp": self.now(3600),
                }
                self.objects.setdefault((kind, name), body)
            case Scale(name, replicas):
                self.objects["Deployment", name]["spec"]["replicas"] = replicas
                self.objects["Deployment", name]["metadata"]["generation"] += 1
            case Delete(kind, name, _):
                self.objects.pop((kind, name), None)
                self.story.append(f"deleted {kind} {name}")

    def pods(self) -> dict[str, int]:
        """Pods that each revision should have, by image."""
        images = self._images()
        return {
            images[body["metadata"]["labels"][names.REVISION_LABEL]]: body["spec"]["replicas"]
            for (kind, _), body in self.objects.items()
            if kind == "Deployment" and names.REVISION_LABEL in body["metadata"]["labels"]
        }

    def controllers(self) -> bool:
        """Deployments, StatefulSets and Jobs reach what they should, if their image can run and
        there is room. Who runs already stays where it is."""
        moved = False
        agents = [
            key
            for key, body in self.objects.items()
            if key[0] == "Deployment" and names.REVISION_LABEL in body["metadata"]["labels"]
        ]
        used = sum(min(self._running(key), self.objects[key]["spec"]["replicas"]) for key in agents)
        for key, body in list(self.objects.items()):
            kind, name = key
            if kind not in {"Deployment", "StatefulSet", "Job"}:
                continue
            image = body["spec"]["template"]["spec"]["containers"][0]["image"]
            if image in self.broken_images or key in self.refused:
                continue
            replicas = body["spec"].get("replicas", 1)
            if key in agents:
                kept = min(self._running(key), replicas)
                granted = max(0, min(replicas, kept + self.room - used))
                used += granted - kept
                moved |= self._pod_without_room(name, body, granted < replicas)
            else:
                granted = replicas
            status: dict[str, Any] = {
                "observedGeneration": body["metadata"]["generation"],
                "replicas": replicas,
                "updatedReplicas": replicas,
                "availableReplicas": granted,
            }
            if kind == "Job" and "-eval-" in name:
                if self.lost is None:
                    continue
                pod = body["metadata"] | {"name": f"{name}-pod", "resourceVersion": "1"}
                ended = {"name": "evaluate", "state": {"terminated": {"message": self._report()}}}
                self.objects["Pod", pod["name"]] = {
                    "metadata": pod,
                    "status": {"containerStatuses": [ended]},
                }
            if kind == "Job":
                status = {"conditions": [{"type": "Complete", "status": "True"}]}
            if body.get("status") != status:
                self.objects[key]["status"] = status
                moved = True
        return moved

    def _report(self) -> str:
        def counts(lost: int) -> dict[str, int]:
            all_ = {"newOf": 20, "baselineOf": 20, "compared": 20, "baseline": 20, "gained": 0}
            return all_ | {"new": 20 - lost, "lost": lost}

        shares = {name: counts(0) for name in ("retrievalHits", "groundedness", "refusals")}
        worse = [{"id": "returns-1", "lost": ["facts"]}] if self.lost else []
        report = {
            "questions": 25,
            "measures": shares | {"facts": counts(self.lost or 0)},
            "failed": {"new": 0, "baseline": 0},
            "error": None,
            "worse": worse,
        }
        return json.dumps(report)

    def _running(self, key: tuple[str, str]) -> int:
        return int(self.objects[key].get("status", {}).get("availableReplicas", 0))

    def _pod_without_room(self, name: str, deployment: dict[str, Any], exists: bool) -> bool:
        key = ("Pod", f"{name}-pending")
        if not exists:
            return self.objects.pop(key, None) is not None
        if key in self.objects:
            return False
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient nvidia.com/gpu.",
        }
        metadata = deployment["metadata"] | {"name": key[1], "resourceVersion": "1"}
        self.objects[key] = {"metadata": metadata, "status": {"conditions": [condition]}}
        return True


def counted(turns: int, errors: int = 0, seconds: float = 0.1) -> Tally:
    """A tally of so many turns, each of which took so long."""
    histogram = Histogram(((seconds, float(turns)), (math.inf, float(turns))))
    return Tally(turns=turns, errors=errors, latency=histogram, first_token=histogram)
