"""The demo: an agent from nothing, a revision that goes out by itself, and one that comes back."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING, Any

from dev import binaries, chat, golang, images, release, uv
from dev.commands import CommandRunner, output
from dev.errors import DevError
from dev.patience import Patience, describe_problems, find_signs
from dev.progress import duration
from dev.settings import IMAGE_PREFIX, REPOSITORY, Paths

if TYPE_CHECKING:
    from argparse import _SubParsersAction  # pyright: ignore[reportPrivateUsage]

AGENT = "help-centre"
NAMESPACE = "chatagent-demo"
SYSTEM_NAMESPACE = "chatagent-system"
MARK = "chatagent.dev/demo=true"
QUICKSTART = REPOSITORY / "examples" / "quickstart"
CONVERSATIONS = 200
AWAITED = "chatagents,pods,events"
PATIENCE_SECONDS = 600.0
"""Time without any progress after which the demo gives up."""
LOOK_SECONDS, LOOKS_WITHOUT_SIGNS = 0.5, 10
GO_ON = """\
  export KUBECONFIG=$(make -s kubeconfig)
  curl -s $(make -s url)/v1/chat/completions -H 'Content-Type: application/json' \\
    -d '{"messages": [{"role": "user", "content": "How do I get an invoice?"}]}'
  make down     # ends everything that the demo made"""
QUESTIONS = (
    "I've slept on my new mattress for a month and it is too hard. Can I still give it back?",
    "Who pays the customs charges when you send a parcel to Canada?",
    "Do you sell refrigerators or washing machines?",
    "公司要抵扣进项税，专票几天能开出来？",
    "新柜子少了几颗螺丝，补寄收钱吗？",
    "定期寄滤芯能便宜多少？邮费呢？",
)


@dataclass(frozen=True)
class Cluster:
    """Where the demo runs: the project's own cluster, or a context of the user's."""

    kubectl: tuple[str, ...]
    helm: tuple[str, ...]
    flags: tuple[str, ...]
    """What `kubectl chatagent` needs to find it."""

    registry: str
    own: bool


def own_cluster(paths: Paths) -> Cluster:
    """The cluster that `up` made."""
    flags = ("--kubeconfig", str(paths.kubeconfig))
    return Cluster(
        (_program("kubectl", paths), *flags),
        (_program("helm", paths), *flags),
        flags,
        IMAGE_PREFIX,
        own=True,
    )


def users_cluster(paths: Paths, context: str, registry: str) -> Cluster:
    """A context of the user's kubeconfig; kubectl and helm are theirs too, if they have them."""
    return Cluster(
        (shutil.which("kubectl") or _program("kubectl", paths), "--context", context),
        (shutil.which("helm") or _program("helm", paths), "--kube-context", context),
        ("--context", context),
        registry.rstrip("/"),
        own=False,
    )


def run(options: argparse.Namespace, paths: Paths) -> int:
    """The demo, on a cluster and with images that are there already."""
    if options.context:
        cluster = users_cluster(paths, options.context, options.registry)
    else:
        cluster = own_cluster(paths)
    Demo(cluster, paths).run()
    return 0


def print_url(_: argparse.Namespace, paths: Paths) -> int:
    """Where the demo's agent answers, as reached from this machine."""
    print(service_url(own_cluster(paths)))
    return 0


def service_url(cluster: Cluster) -> str:
    """URL of the gateway's Service by its ClusterIP, which is routed on the own machine."""
    command = [*cluster.kubectl, "-n", NAMESPACE, "get", "service", AGENT]
    return f"http://{output([*command, '-o', 'jsonpath={.spec.clusterIP}'])}"


def _program(name: str, paths: Paths) -> str:
    binary = binaries.providing(name)
    if binary is None:
        raise DevError(f"no program {name}")
    runner = CommandRunner()
    golang.ensure_binary(
        binary, paths, runner, lambda text: print(f"{name}: {text}", file=sys.stderr)
    )
    return str(binaries.location(paths.binaries, binary, name))


class Demo:
    """The steps. Each prints what it does in the words of the command that a user would type."""

    def __init__(self, cluster: Cluster, paths: Paths) -> None:
        self._cluster = cluster
        self._paths = paths
        self._started = time.monotonic()
        self._first, self._second = images.AGENT_TAGS

    def run(self) -> None:
        """All steps."""
        self._namespaces()
        self._operator()
        self._agent()
        with self._gateway() as url:
            self._ask(url)
            self._bump()
            self._converse(url)
            self._go_out(url)
            self._break(url)
        self._go_on()

    def _say(self, text: str) -> None:
        print(f"\n[{time.monotonic() - self._started:4.0f} s] {text}", flush=True)

    def _kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        return output([*self._cluster.kubectl, *arguments], stdin=stdin)

    def _namespaces(self) -> None:
        key, value = MARK.split("=")
        for name in (SYSTEM_NAMESPACE, NAMESPACE):
            found = self._kubectl("get", "namespace", name, "--ignore-not-found", "-o", "json")
            labels = json.loads(found)["metadata"].get("labels", {}) if found else {}
            if found and not self._cluster.own and labels.get(key) != value:
                raise DevError(f"namespace {name} is there and is not the demo's; it is left alone")
            if not found:
                self._kubectl("create", "namespace", name)
                self._kubectl("label", "namespace", name, MARK)

    def _operator(self) -> None:
        self._say("install the operator: helm upgrade --install chatagent-operator")
        registry = self._cluster.registry
        values = {"image.repository": f"{registry}/operator"}
        for name, tag in images.BORROWED:
            values[f"images.{name}"] = f"{registry}/{name}:{tag}"
        if not self._cluster.own:
            values["watchNamespaces[0]"] = (
                NAMESPACE  # other people's agents are none of its concern
            )
        release.install(self._cluster.helm, SYSTEM_NAMESPACE, values)
        # the image of a development build changes under the same tag
        deployment = "deployment/chatagent-operator"
        self._kubectl("-n", SYSTEM_NAMESPACE, "rollout", "restart", deployment)
        status = ["-n", SYSTEM_NAMESPACE, "rollout", "status", deployment, "--watch=false"]
        self._until(
            lambda: "yes" if "successfully rolled out" in self._kubectl(*status) else "",
            "the operator",
        )

    def _agent(self) -> None:
        documents = QUICKSTART / "knowledge"
        count = len(list(documents.glob("*.md")))
        self._say(f"make the agent: {count} documents and examples/quickstart/chatagent.yaml")
        self._kubectl("-n", NAMESPACE, "delete", "chatagent", AGENT, "--ignore-not-found")
        self._until(lambda: "" if self._children() else "gone", "the agent of an earlier demo")
        words = ["create", "configmap", AGENT, f"--from-file={documents}"]
        manifest = self._kubectl("-n", NAMESPACE, *words, "--dry-run=client", "-o", "yaml")
        self._kubectl("-n", NAMESPACE, "apply", "--server-side", "-f", "-", stdin=manifest)
        self._kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=self._manifest(self._first))
        self._until(lambda: self._condition("Ready"), "the agent", self._progress)
        print(self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT), end="")

    def _manifest(self, tag: str) -> str:
        text = (QUICKSTART / "chatagent.yaml").read_text(encoding="utf-8")
        lines = text.splitlines()
        (line,) = [i for i, words in enumerate(lines) if words.startswith("  image: ")]
        lines[line] = f"  image: {self._cluster.registry}/agent-runtime:{tag}"
        return "\n".join(lines) + "\n"

    def _children(self) -> str:
        kinds = "deployments,statefulsets,jobs,pods,persistentvolumeclaims"
        selector = f"chatagent.dev/agent={AGENT}"
        return self._kubectl("-n", NAMESPACE, "get", kinds, "-l", selector, "-o", "name")

    def _ask(self, url: str) -> None:
        self._say(f"ask it: POST {url}/v1/chat/completions")
        for question in QUESTIONS:
            reply = chat.ask(url, question)
            print(f"\n  Q: {question}\n  A: {reply.text}")
            for source in reply.sources:
                print(f"     source: {source}")

    def _bump(self) -> None:
        self._say(f"bump the image tag from {self._first} to {self._second}, as GitOps would")
        self._kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=self._manifest(self._second))
        weight = "jsonpath={.status.rollout.weight}"
        self._until(
            lambda: self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT, "-o", weight).strip(
                "0"
            ),
            "the new revision",
            self._progress,
        )
        print(self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT), end="")

    def _converse(self, url: str) -> None:
        self._say(f"hold {CONVERSATIONS} new conversations, two turns each")
        with ThreadPoolExecutor(max_workers=8) as pool:
            replies = list(pool.map(_two_turns, repeat(url), range(CONVERSATIONS)))
        shares = Counter(first for first, _ in replies)
        for revision, count in shares.most_common():
            print(f"  revision {revision}: {count} conversations, {count / CONVERSATIONS:.1%}")
        moved = sum(first != second for first, second in replies)
        print(f"  conversations that changed their revision between the turns: {moved}")

    def _go_out(self, url: str) -> None:
        self._say("let it go on by itself while people talk: 25 %, 50 %, 100 %")
        canary = self._status()["canaryRevision"]
        with _talking(url) as revisions:
            self._until(
                lambda: "yes" if not self._status().get("canaryRevision") else "",
                "the rollout",
                self._message,
            )
        if self._status()["stableRevision"] != canary:
            raise DevError(self._message())
        print(f"  {len(revisions)} conversations meanwhile, none failed")
        print(self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT), end="")

    def _break(self, url: str) -> None:
        self._say("break the pipeline: retrieval.when: never, so that it finds no answer any more")
        before = self._status()["stableRevision"]
        broken = self._manifest(self._second).replace("topK: 5", "when: never")
        with _talking(url) as revisions:
            self._kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=broken)
            self._until(
                lambda: str(self._status().get("failedRevision") or ""),
                "its failure",
                self._message,
            )
        print(f"  {self._status()['failedMessage']}")
        saw = sum(revision != before for revision in revisions)
        print(f"  {saw} of {len(revisions)} conversations saw it")
        print(self._plugin("get", AGENT), end="")
        self._say("roll the change back")
        self._kubectl("-n", NAMESPACE, "apply", "-f", "-", stdin=self._manifest(self._second))
        self._until(lambda: "" if self._status().get("failedRevision") else "yes", "the old state")

    def _plugin(self, *arguments: str) -> str:
        plugin = [
            *(str(uv.ensure(self._paths)), "run", "--quiet", "--frozen", "--inexact"),
            *("--no-default-groups", "--extra", "operator", "kubectl-chatagent"),
            *(*arguments, "-n", NAMESPACE, *self._cluster.flags),
        ]
        environment = os.environ | {"UV_PYTHON_DOWNLOADS": "never"}
        done = subprocess.run(
            plugin, cwd=REPOSITORY, env=environment, check=False, stdout=subprocess.PIPE, text=True
        )
        if done.returncode != 0:
            raise DevError(f"kubectl chatagent {arguments[0]} failed")
        return done.stdout

    def _status(self) -> dict[str, Any]:
        found = self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT, "-o", "json")
        return json.loads(found).get("status", {})

    def _message(self) -> str:
        return str(self._status().get("rollout", {}).get("message", ""))

    def _go_on(self) -> None:
        took = duration(time.monotonic() - self._started)
        self._say(f"done after {took}; the cluster stays up. Go on with:")
        if self._cluster.own:
            print(GO_ON)
        else:
            print(f"  {' '.join(self._cluster.kubectl)} -n {NAMESPACE} get chatagents")
            print("  to delete it, see docs/quickstart.md")

    @contextmanager
    def _gateway(self) -> Generator[str]:
        if self._cluster.own:
            url = service_url(self._cluster)
            chat.wait_until_answers(url)
            yield url
            return
        words = ["-n", NAMESPACE, "port-forward", f"service/{AGENT}", ":80"]
        with subprocess.Popen(
            [*self._cluster.kubectl, *words], stdout=subprocess.PIPE, text=True
        ) as forward:
            try:
                assert forward.stdout is not None  # noqa: S101  asked for above
                port = forward.stdout.readline().split("->")[0].rsplit(":", 1)[-1].strip()
                yield f"http://127.0.0.1:{port}"
            finally:
                forward.terminate()

    def _condition(self, kind: str) -> str:
        path = f'jsonpath={{.status.conditions[?(@.type=="{kind}")].status}}'
        found = self._kubectl("-n", NAMESPACE, "get", "chatagent", AGENT, "-o", path)
        return found if found == "True" else ""

    def _progress(self) -> str:
        return describe_problems(self._status())

    def _signs(self) -> Iterator[str]:
        for namespace, kinds in ((SYSTEM_NAMESPACE, "pods,events"), (NAMESPACE, AWAITED)):
            found = self._kubectl("-n", namespace, "get", kinds, "-o", "json")
            yield from find_signs(json.loads(found)["items"])

    def _until(
        self,
        condition: Callable[[], str],
        what: str,
        progress: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait as long as there is progress: how long it takes depends on the machine."""
        patience, told = Patience(PATIENCE_SECONDS), ""
        for number in itertools.count():
            try:
                if condition():
                    return
                state = progress()
                if number % LOOKS_WITHOUT_SIGNS == 0:
                    patience.see(self._signs())
            except DevError as error:  # the API server of a starved machine may not answer
                state = str(error)
            if patience.is_over:
                limit = duration(patience.seconds)
                raise DevError(f"{what}: not there, and no progress for {limit}; {state}")
            if state != told:
                print(f"  waiting for {what}: {state}", flush=True)
                told = state
            time.sleep(LOOK_SECONDS)


@contextmanager
def _talking(url: str) -> Generator[list[str]]:
    """Hold conversations, as many as the machine takes; yields the revisions that had them."""
    revisions: list[str] = []
    over = threading.Event()

    def talk(number: int) -> None:
        while not over.is_set():
            revisions.append(chat.ask(url, QUESTIONS[number % len(QUESTIONS)]).revision)
            number += 1

    with ThreadPoolExecutor(max_workers=4) as pool:
        talkers = [pool.submit(talk, number) for number in range(4)]
        try:
            yield revisions
        finally:
            over.set()
    for talker in talkers:
        talker.result()  # one that failed says so


def _two_turns(url: str, number: int) -> tuple[str, str]:
    question = QUESTIONS[number % len(QUESTIONS)]
    first = chat.ask(url, question)
    second = chat.ask(url, question, conversation=first.conversation)
    return first.revision, second.revision


def add_parsers(commands: _SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = commands.add_parser("demo", help="run the demo on a cluster that is up")
    demo.add_argument("--context", help="a context of your own kubeconfig, instead of the cluster")
    demo.add_argument("--registry", help="where the images were pushed to, with --context")
    demo.set_defaults(run=run)
    commands.add_parser("url", help="print the URL of the demo's agent").set_defaults(run=print_url)
    path = commands.add_parser("uv", help="print the path of uv, installed if need be")
    path.set_defaults(run=uv.print_path)
