"""The real cluster as tests see it: kubectl, Helm, conditions that are awaited, questions asked."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

ROOT = Path(__file__).resolve().parents[2]
IMAGES = "localhost/chatagent"
FIRST_TAG, SECOND_TAG = "0.1.0", "0.1.1"
SYSTEM_NAMESPACE = "chatagent-system"

T = TypeVar("T")
Object = dict[str, Any]


class KubectlError(AssertionError):
    """kubectl failed; the message is what it printed."""


def until(condition: Callable[[], T | None], what: str, seconds: float = 120) -> T:
    """Wait for a condition and return what it found."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:.0f} s: {what}; last: {found!r}")
        time.sleep(0.1)
    return found


def dev(*arguments: str) -> str:
    """Output of `python3 -m dev …`."""
    command = [sys.executable, "-m", "dev", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise KubectlError(done.stderr)
    return done.stdout.strip()


@dataclass(frozen=True)
class Kubectl:
    """kubectl in one namespace."""

    namespace: str
    program: str = field(default_factory=lambda: dev("bin", "kubectl"))
    kubeconfig: str = field(default_factory=lambda: dev("kubeconfig"))

    def run(self, *arguments: str, stdin: str | None = None) -> str:
        """Standard output.

        Raises:
            KubectlError: with what it printed to standard error.
        """
        command = [self.program, "--kubeconfig", self.kubeconfig, "-n", self.namespace]
        done = subprocess.run(
            [*command, *arguments], input=stdin, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise KubectlError(done.stderr.strip())
        return done.stdout

    def apply(self, *objects: Object) -> None:
        """Apply objects, server-side."""
        text = "\n---\n".join(json.dumps(body) for body in objects)
        self.run("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=text)

    def create(self, body: Object) -> None:
        """Create an object, by the client that says most about what is wrong with it."""
        self.run("create", "-f", "-", stdin=json.dumps(body))

    def get(self, kind: str, name: str) -> Object:
        """One object."""
        return json.loads(self.run("get", kind, name, "-o", "json"))

    def list(self, kind: str, selector: str = "") -> list[Object]:
        """All objects of a kind, or those with a label."""
        selection = ["-l", selector] if selector else []
        return json.loads(self.run("get", kind, *selection, "-o", "json"))["items"]

    def plugin(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`kubectl chatagent …`."""
        program = Path(sys.executable).with_name("kubectl-chatagent")
        flags = ["-n", self.namespace, "--kubeconfig", self.kubeconfig]
        return subprocess.run(
            [program, *arguments, *flags], capture_output=True, text=True, check=False
        )


@dataclass(frozen=True)
class Reply:
    """One turn."""

    text: str
    filenames: tuple[str, ...]
    revision: str
    conversation: str


@dataclass(frozen=True)
class AgentUnderTest:
    """One ChatAgent on the real node."""

    kubectl: Kubectl
    name: str

    def apply(self, tag: str = FIRST_TAG, **changes: Any) -> None:
        """Apply its manifest."""
        self.kubectl.apply(manifest(self.name, tag, **changes))

    @property
    def body(self) -> Object:
        """The resource."""
        return self.kubectl.get("chatagent", self.name)

    @property
    def status(self) -> Object:
        """Its status."""
        return self.body.get("status") or {}

    def condition(self, kind: str) -> Object:
        """A condition; empty where there is none yet."""
        found = [c for c in self.status.get("conditions", []) if c["type"] == kind]
        return found[0] if found else {}

    def await_condition(
        self, kind: str, status: str = "True", reason: str | None = None, seconds: float = 120
    ) -> Object:
        """Wait for a condition of the spec as it is now."""

        def met() -> Object | None:
            body = self.body
            for found in body.get("status", {}).get("conditions", []):
                if found["type"] == kind:
                    same = found["status"] == status and reason in (None, found["reason"])
                    seen = found["observedGeneration"] == body["metadata"]["generation"]
                    return found if same and seen else None
            return None

        try:
            return until(met, f"{kind}={status} {reason or ''}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status, indent=1)}") from None

    def await_weight(self, weight: int, seconds: float = 120) -> None:
        """Wait for the canary's weight to be applied by the gateway itself."""

        def met() -> bool:
            body = self.body
            status = body.get("status", {})
            seen = status.get("observedGeneration") == body["metadata"]["generation"]
            return seen and status["rollout"]["weight"] == weight and self.is_applied()

        try:
            until(met, f"weight {weight}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{json.dumps(self.status, indent=1)}") from None

    def is_applied(self) -> bool:
        """The gateway has applied the latest intent."""
        routes = self.kubectl.get("configmap", f"{self.name}-routes")
        wanted = json.loads(routes["data"]["routes.json"])["generation"]
        pods = self.kubectl.list(
            "pods", f"chatagent.dev/agent={self.name},chatagent.dev/role=gateway"
        )
        return bool(pods) and all(
            applied_generation(pod["status"].get("podIP")) == wanted for pod in pods
        )

    @property
    def url(self) -> str:
        """The gateway as reached from the host."""
        return f"http://{self.kubectl.get('service', self.name)['spec']['clusterIP']}"

    def ask(self, question: str, conversation: str | None = None) -> Reply:
        """One turn through the gateway."""
        return ask_at(self.url, question, conversation)

    def pods(self, revision: str) -> list[Object]:
        """Pods of a revision."""
        return self.kubectl.list(
            "pods", f"chatagent.dev/revision={revision},chatagent.dev/role=agent"
        )

    def restarts(self, revision: str) -> dict[str, int]:
        """How often containers of its pods were restarted, by the pods' uid."""
        return {
            pod["metadata"]["uid"]: sum(
                container["restartCount"] for container in pod["status"]["containerStatuses"]
            )
            for pod in self.pods(revision)
        }

    def events(self) -> list[tuple[str, str]]:
        """Reasons and messages of its Events."""
        items = json.loads(
            self.kubectl.run(
                "get",
                "events",
                f"--field-selector=involvedObject.kind=ChatAgent,involvedObject.name={self.name}",
                "-o",
                "json",
            )
        )["items"]
        return [(item["reason"], item["message"]) for item in items]


def applied_generation(ip: str | None) -> int | None:
    """What a gateway's sidecar has applied."""
    if not ip:
        return None
    try:
        with urllib.request.urlopen(f"http://{ip}:8405/applied", timeout=2) as answer:
            return json.load(answer).get("generation")
    except (OSError, ValueError):
        return None


def ask_at(url: str, question: str, conversation: str | None = None) -> Reply:
    """One turn over HTTP."""
    headers = {"Content-Type": "application/json"}
    if conversation:
        headers["X-Conversation-ID"] = conversation
    body = json.dumps({"model": "agent", "messages": [{"role": "user", "content": question}]})
    request = urllib.request.Request(f"{url}/v1/chat/completions", body.encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            reply, names = json.load(answer), answer.headers
    except urllib.error.HTTPError as error:
        raise AssertionError(f"{error.code}: {error.read().decode()}") from error
    message = reply["choices"][0]["message"]
    return Reply(
        message["content"],
        tuple(a["filename"] for a in message.get("annotations", [])),
        names["X-Agent-Revision"],
        names["X-Conversation-ID"],
    )


def manifest(name: str, tag: str = FIRST_TAG, **changes: Any) -> Object:
    """A ChatAgent with one knowledge source of its own name, whose canary waits at 5 %."""
    spec: Object = {
        "rollout": {"steps": [{"setWeight": 5}, {"pause": {}}]},
        "image": f"{IMAGES}/agent-runtime:{tag}",
        "knowledge": {"sources": [{"name": "help", "configMap": {"name": name}}]},
    }
    return {
        "apiVersion": "chatagent.dev/v1alpha1",
        "kind": "ChatAgent",
        "metadata": {"name": name},
        "spec": spec | changes,
    }


def documents(name: str, **files: str) -> Object:
    """A ConfigMap with documents; underscores in names stand for dots."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": {key.replace("_", "."): text for key, text in files.items()},
    }
