"""The pure parts of the development cluster: what is rendered, named and ordered."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from dev import addons, api, binaries, components, credentials, gateway_api, mounts, node
from dev.binaries import Binary
from dev.commands import CommandRunner
from dev.errors import DevError
from dev.processes import Program, Record
from dev.progress import Progress, duration
from dev.schedule import Note, Task, run_tasks
from dev.settings import DEFAULT_STATE, Paths

PATHS = Paths(Path("/cache"), Path("/state"))
PROGRAMS = components.Programs(Path("/b/kubernetes"), Path("/b/coredns"), Path("/b/provisioner"))


def test_paths_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/c")
    monkeypatch.setenv("CHATAGENT_DEV_STATE", "/s")
    paths = Paths.from_environment()
    assert (paths.cache, paths.state) == (Path("/c/chatagent-dev"), Path("/s"))
    monkeypatch.delenv("CHATAGENT_DEV_STATE")
    assert Paths.from_environment().state == DEFAULT_STATE


def test_two_states_have_two_cgroups() -> None:
    assert Paths(Path("/c"), DEFAULT_STATE).cgroup == "chatagent-dev"
    assert PATHS.cgroup.startswith("chatagent-dev-")


class TestBinaries:
    @pytest.fixture
    def binary(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Binary:
        monkeypatch.setattr(binaries, "GO_SOURCES", tmp_path)
        for name, text in {"go.mod": "module m", "go.sum": "", "main.go": "package main"}.items():
            (tmp_path / "tool").mkdir(exist_ok=True)
            (tmp_path / "tool" / name).write_text(text)
        return Binary("tool")

    @pytest.mark.parametrize("name", ["go.mod", "go.sum", "main.go", "other.go"])
    def test_sources_are_in_the_name(self, binary: Binary, name: str) -> None:
        before = binary.digest()
        (binary.source / name).write_text("changed")
        assert binary.digest() != before

    def test_notes_beside_them_are_not(self, binary: Binary) -> None:
        before = binary.digest()
        (binary.source / "README.md").write_text("notes")
        assert binary.digest() == before

    def test_flags_are(self, binary: Binary) -> None:
        assert Binary("tool", variables="-X a.b=c").digest() != binary.digest()

    def test_links_lie_beside_the_binary(self) -> None:
        kubectl = binaries.location(Path("/bin"), binaries.KUBERNETES, "kubectl")
        assert kubectl.parent == binaries.location(Path("/bin"), binaries.KUBERNETES).parent
        assert binaries.providing("kubectl") is binaries.KUBERNETES
        assert binaries.providing("docker") is None


class TestGatewayApi:
    def test_the_gateway_of_the_configuration_is_the_one_that_is_made(self) -> None:
        (gateway,) = [m for m in gateway_api.manifests() if m["kind"] == "Gateway"]
        (kind,) = [m for m in gateway_api.manifests() if m["kind"] == "GatewayClass"]
        assert gateway_api.GATEWAY_PATH.endswith(
            f"/namespaces/{gateway['metadata']['namespace']}/gateways/{gateway['metadata']['name']}"
        )
        assert gateway["spec"]["gatewayClassName"] == kind["metadata"]["name"]

    def test_neither_program_listens_to_more_than_it_must(self) -> None:
        words = [str(word) for word in gateway_api.serve(Path("/b/contour"), PATHS)]
        for address in ("xds", "http", "health"):
            assert f"--{address}-address=127.0.0.1" in words

    def test_contour_runs_as_somebody_whom_every_cluster_knows(self) -> None:
        words = [str(word) for word in gateway_api.serve(Path("/b/contour"), PATHS)]
        assert f"--kubeconfig={PATHS.kubeconfig}" in words


class TestConfiguration:
    def test_everything_stays_below_the_state(self) -> None:
        """What a `down` has to find: nothing may be written to the places of a host's own node."""
        files = node.render(PATHS)
        texts = " ".join(files.values())
        assert "/var/lib" not in texts
        kubelet = json.loads(files["kubelet.json"])
        assert kubelet["cgroupRoot"] == f"/{PATHS.cgroup}"
        plugins = json.loads(files["cni/10-chatagent-dev.conflist"])["plugins"]
        assert plugins[0]["ipam"]["dataDir"].startswith("/state/")

    def test_version_1_cgroups_and_a_root_without_resource_rights_are_fine(self) -> None:
        files = node.render(PATHS)
        assert json.loads(files["kubelet.json"])["failCgroupV1"] is False
        assert "restrict_oom_score_adj = true" in files["containerd.toml"]

    def test_dns_asks_the_hosts_servers_for_other_names(self) -> None:
        text = node.corefile(PATHS, Path("/etc/resolv.conf"))
        assert "forward . /etc/resolv.conf" in text
        assert "kubeconfig /state/credentials/coredns.kubeconfig chatagent-dev" in text

    def test_commands_name_the_programs(self) -> None:
        server = [str(word) for word in components.api_server(PROGRAMS, PATHS)]
        assert server[0] == "/b/kube-apiserver"
        assert "--authorization-mode=Node,RBAC" in server
        assert "--token-auth-file=/state/credentials/tokens.csv" in server


class TestCredentials:
    def test_tokens_carry_groups(self) -> None:
        tokens = {user.file: f"t-{user.file}" for user in credentials.USERS}
        lines = credentials.token_file(tokens).splitlines()
        assert 't-admin,chatagent-dev-admin,admin,"system:masters"' in lines
        assert 't-kubelet,system:node:chatagent-dev,kubelet,"system:nodes"' in lines

    def test_a_kubeconfig_is_whole_in_itself(self) -> None:
        config = json.loads(credentials.kubeconfig(b"CA", credentials.ADMIN, "token"))
        assert config["clusters"][0]["cluster"]["certificate-authority-data"] == "Q0E="
        assert config["current-context"] == config["contexts"][0]["name"]


def test_every_object_has_a_place_at_the_api_server() -> None:
    paths = [api.object_path(manifest) for manifest in addons.manifests()]
    assert "/api/v1/namespaces/kube-system/services/kube-dns" in paths
    assert "/apis/storage.k8s.io/v1/storageclasses/standard" in paths
    assert len(set(paths)) == len(paths)


def test_mounts_are_read_with_their_escapes() -> None:
    text = (
        "36 35 98:0 / / rw,noatime master:1 - ext4 /dev/root rw\n"
        "42 27 0:4 net:[4026532245] /state/run/netns rw - nsfs nsfs rw\n"
        "43 27 0:5 / /a\\040b rw shared:2 - tmpfs tmpfs rw\n"
    )
    expected = [("/", "ext4"), ("/state/run/netns", "nsfs"), ("/a b", "tmpfs")]
    assert mounts.parse_mountinfo(text) == expected


@pytest.mark.parametrize("text", ["", "12 34", "x 1 boot digest"])
def test_half_a_record_is_none(text: str) -> None:
    assert Record.parse(text) is None


def test_a_program_is_restarted_for_new_arguments_or_files() -> None:
    digests = {
        Program("a", ["a"]).digest(),
        Program("a", ["a", "-v"]).digest(),
        Program("a", ["a"], inputs="file").digest(),
        Program("a", ["a"], {"HOME": "/"}).digest(),
    }
    assert len(digests) == 4


class TestSchedule:
    def test_tasks_run_after_what_they_need(self) -> None:
        done: list[str] = []

        def task(name: str, *after: str) -> Task:
            def run(note: Note) -> str:
                note("going on")
                done.append(name)
                return "done"

            return Task(name, run, after)

        out = io.StringIO()
        tasks = [task("c", "a", "b"), task("b", "a"), task("a")]
        run_tasks(tasks, Progress(len(tasks), out), CommandRunner())
        assert done == ["a", "b", "c"]
        assert "[3/3]" in out.getvalue()

    def test_a_failure_ends_the_commands_of_the_others(self, tmp_path: Path) -> None:
        runner = CommandRunner()

        def sleep(_: Note) -> str:
            runner.run(["sleep", "60"], tmp_path / "log")
            return "done"

        def fail(_: Note) -> str:
            raise DevError("no")

        with pytest.raises(DevError, match="no"):
            run_tasks([Task("s", sleep), Task("f", fail)], Progress(2, io.StringIO()), runner)

    @pytest.mark.parametrize("after", [("b",), ("nowhere",)])
    def test_what_can_never_run_is_told(self, after: tuple[str, ...]) -> None:
        tasks = [Task("a", lambda _: "", after), Task("b", lambda _: "", ("a",))]
        with pytest.raises(DevError):
            run_tasks(tasks, Progress(2, io.StringIO()), CommandRunner())


def test_a_failed_command_shows_the_end_of_its_log(tmp_path: Path) -> None:
    with pytest.raises(DevError, match="went wrong"):
        CommandRunner().run(["sh", "-c", "echo went wrong; exit 3"], tmp_path / "log")


@pytest.mark.parametrize(("seconds", "text"), [(0.42, "0.4 s"), (42, "42 s"), (301, "5 min 1 s")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert duration(seconds) == text
