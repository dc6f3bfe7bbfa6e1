"""A ChatAgent that comes from Git: a tag bump is all it takes, and nothing ever drifts.

Applied as Argo CD does it, server-side and under a field manager of its own, and never by force: a
field that the operator had taken would be a conflict.
"""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.cluster.kubectl import (
    FIRST_TAG,
    SECOND_TAG,
    AgentUnderTest,
    Kubectl,
    KubectlError,
    documents,
    manifest,
    until,
)
from tests.cluster.verdicts import argocd, kstatus

MANAGER = "argocd-controller"
SYNC = ("--server-side", f"--field-manager={MANAGER}")
STEPS: list[dict[str, Any]] = [{"setWeight": 5}, {"pause": {}}]


@dataclass(frozen=True)
class WorkingCopy:
    """A Git repository with one manifest, and what synchronises it."""

    folder: Path
    agent: AgentUnderTest

    def git(self, *words: str) -> None:
        """Run Git in it."""
        who = ("-c", "user.name=shop", "-c", "user.email=shop@example.com")
        subprocess.run(["git", *who, *words], cwd=self.folder, check=True, capture_output=True)

    def commit(self, tag: str, **changes: Any) -> None:
        """Write the manifest, and synchronise."""
        wanted = manifest(self.agent.name, tag, **({"rollout": {"steps": STEPS}} | changes))
        path = self.folder / "agent.yaml"
        path.write_text(yaml.safe_dump(wanted), encoding="utf-8")
        self.git("add", ".")
        self.git("commit", "-m", f"{self.agent.name}: {tag}")
        self.sync()

    def sync(self, *force: str) -> None:
        """What Git says, onto the cluster."""
        self.agent.kubectl.run("apply", *SYNC, *force, "-f", str(self.folder))

    def difference(self) -> str:
        """What differs from Git on the cluster."""
        try:
            return self.agent.kubectl.run("diff", *SYNC, "-f", str(self.folder))
        except KubectlError as error:
            return str(error) or "something"

    def check(self) -> None:
        """Nothing differs from Git, and everybody has written only what is theirs."""
        # kubectl reads the object, then asks what would be: a status may be written in between.
        until(lambda: self.difference() == "", "what is on the cluster is what Git says", 10)
        wanted = yaml.safe_load((self.folder / "agent.yaml").read_text(encoding="utf-8"))
        for entry in self.managed_fields():
            fields = entry["fieldsV1"]
            match entry["manager"]:
                case manager if manager == MANAGER:
                    assert fields.keys() == {"f:spec"}
                    assert fields["f:spec"].keys() == {f"f:{field}" for field in wanted["spec"]}
                case "chatagent-operator":
                    assert entry.get("subresource") == "status"
                    assert fields.keys() == {"f:status"}
                case "kubectl-chatagent":
                    annotations = {"f:annotations": {".": {}, "f:chatagent.dev/command": {}}}
                    assert fields == {"f:metadata": annotations}
                case other:
                    raise AssertionError(f"{other} has written {fields}")

    def managed_fields(self) -> list[dict[str, Any]]:
        """Who has written what."""
        words = ("get", "chatagent", self.agent.name, "--show-managed-fields", "-o", "json")
        return json.loads(self.agent.kubectl.run(*words))["metadata"]["managedFields"]

    def verdicts(self) -> tuple[str, str]:
        """What kstatus and Argo CD make of it."""
        body = self.agent.body
        return kstatus(body).status, argocd(body).status

    def command(self, *words: str) -> str:
        """`kubectl chatagent …`; returns what it warns of."""
        done = self.agent.kubectl.plugin(words[0], self.agent.name, *words[1:])
        assert done.returncode == 0, done.stderr
        return done.stderr


@pytest.fixture
def copy(
    operator: Kubectl, namespace: Kubectl, tmp_path: Path, request: pytest.FixtureRequest
) -> WorkingCopy:
    name = "from-git" if request.node.name == "test_from_git" else "put-back"
    agent = AgentUnderTest(namespace, name)
    namespace.apply(documents(agent.name, returns_md="# Returns\n\nLamps: within 30 days.\n"))
    found = WorkingCopy(tmp_path, agent)
    found.git("init")
    return found


@pytest.mark.timeout(900)
def test_from_git(copy: WorkingCopy) -> None:
    agent = copy.agent
    copy.commit(FIRST_TAG)
    agent.await_condition("Ready", seconds=180)
    until(lambda: copy.verdicts() == ("Current", "Healthy"), "both tools content")
    copy.check()
    first = agent.status["stableRevision"]

    copy.commit(SECOND_TAG)
    agent.await_weight(5)
    until(lambda: copy.verdicts() == ("InProgress", "Suspended"), "it waits for a person")
    copy.check()
    copy.command("promote")
    until(lambda: agent.status["stableRevision"] != first, "the promotion")
    until(lambda: copy.verdicts() == ("Current", "Healthy"), "both tools content")
    copy.check()
    second = agent.status["stableRevision"]

    copy.commit(SECOND_TAG, pipeline={"retrieval": {"topK": 6}})
    agent.await_weight(5)
    begun = agent.status["rollout"]["startedAt"]
    copy.sync()  # as every few minutes
    # Something else in mid-rollout, which is applied in place.
    rollout = {"steps": STEPS, "revisionHistoryLimit": 5}
    copy.commit(SECOND_TAG, pipeline={"retrieval": {"topK": 6}}, rollout=rollout)
    agent.await_weight(5)
    assert agent.status["rollout"]["startedAt"] == begun, "the rollout goes on where it was"
    copy.check()
    copy.command("abort")
    until(lambda: agent.status.get("failedRevision"), "the abort")
    copy.sync()
    assert agent.status["stableRevision"] == second
    assert agent.status["failedRevision"], "what Git asks for stays out"
    assert copy.verdicts()[1] == "Degraded"
    copy.check()

    copy.git("revert", "--no-edit", "HEAD~2..HEAD")
    copy.sync()
    until(lambda: copy.verdicts() == ("Current", "Healthy"), "both tools content")
    assert agent.status["stableRevision"] == second
    copy.check()


@pytest.mark.timeout(900)
def test_an_edit_by_hand_is_reverted_and_reported(copy: WorkingCopy) -> None:
    agent = copy.agent
    copy.commit(FIRST_TAG)
    agent.await_condition("Ready", seconds=180)
    first = agent.status["stableRevision"]
    copy.commit(SECOND_TAG)
    agent.await_weight(5)
    warning = copy.command("undo")
    assert f"these fields are managed by {MANAGER}, which will revert the change" in warning
    until(lambda: not agent.status.get("canaryRevision"), "it is withdrawn")
    assert agent.status["stableRevision"] == first
    with pytest.raises(KubectlError, match='conflict with "kubectl-chatagent"'):
        copy.sync()
    copy.sync("--force-conflicts")  # as Argo CD does
    until(lambda: agent.status.get("canaryRevision"), "it is tried again")
    copy.check()
