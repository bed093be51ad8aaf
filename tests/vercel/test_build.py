"""What Vercel would deploy: the real `vercel build` of a copy of the checkout, looked into.

Needs node, uv and the CLI (`npm ci` in tests/node). One build for all tests, 10 to 15 seconds.
The CLI itself needs no network; uv takes the packages of the lock from its cache or from PyPI.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict, cast

import httpx2
import pytest

from dev.supply.lock import LOCK, normal_name, packages_of_functions, tags_of
from tests.support.runtime import PROJECT, invocation_headers, start_bundle

MAX_FUNCTIONS = 12  # a Hobby deployment with more is refused
CONVERSATION = "11111111-1111-4111-8111-111111111111"
CLI = PROJECT / "tests/node/node_modules/.bin/vercel"


class FunctionConfig(TypedDict):
    """What the builder says of a function, in its `.vc-config.json`."""

    filePathMap: dict[str, str]
    handler: str
    runtime: str
    environment: dict[str, str]
    maxDuration: int


class Cron(TypedDict):
    """A scheduled request."""

    path: str
    schedule: str


class Route(TypedDict, total=False):
    """A rule of the router; the first whose `src` matches wins, unless it says `continue`."""

    src: str
    dest: str
    headers: dict[str, str]


class DeploymentConfig(TypedDict):
    """What the builder says of the whole, in `config.json`."""

    crons: list[Cron]
    routes: list[Route]


@dataclass(frozen=True, slots=True)
class Deployment:
    """The output of one build."""

    project: Path
    config: DeploymentConfig
    functions: Mapping[str, FunctionConfig]

    @property
    def output(self) -> Path:
        """The directory that is deployed."""
        return self.project / ".vercel/output"

    def unpack(self, name: str, directory: Path) -> Path:
        """Lay out a function's bundle as it lies on Vercel's machine."""
        handler = self.output / f"functions/{name}.func/vc__handler__python.py"
        for target, source in self.functions[name]["filePathMap"].items():
            link(self.project / source, directory / target)
        link(handler, directory / handler.name)
        return directory


def link(source: Path, target: Path) -> None:
    """Put a file elsewhere; a hard link, since a bundle has thousands and they are only read."""
    target.parent.mkdir(parents=True, exist_ok=True)
    target.hardlink_to(source)


def needed(name: str, path: str) -> str:
    """Return where a program is, or skip."""
    found = shutil.which(name, path=path)
    if found is None:
        pytest.skip(f"{name} is not installed")
    return found


def checked_out_files() -> list[str]:
    """Return what a push would bring: the files that git tracks or would add."""
    git = needed("git", os.environ["PATH"])
    listing = subprocess.run(
        [git, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        check=False,
        text=True,
    )
    if listing.returncode:
        pytest.skip("not a git checkout")
    return [name for name in listing.stdout.split("\0") if (PROJECT / name).is_file()]


def copy_checkout(project: Path) -> None:
    """Copy what a push would bring, and add what lies about in a developer's directory."""
    for name in checked_out_files():
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / name, project / name)
    for name in (".env", ".env.local", ".parley/data", "api/.env", "notes.md", "lib/notes.md"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("OPENAI_API_KEY=secret\n")
    # As docs/models.md says for MODELS.
    (project / "models.json").write_text('[{"name": "Fast"}]')
    link_to_nothing = {"projectId": "x", "orgId": "x", "settings": {"framework": None}}
    (project / ".vercel").mkdir()
    (project / ".vercel/project.json").write_text(json.dumps(link_to_nothing))


def run_build(project: Path) -> subprocess.CompletedProcess[str]:
    """Run `vercel build`, as Vercel's build machine does."""
    programs = [Path(sys.base_prefix) / "bin", Path(sys.prefix) / "bin"]
    path = os.pathsep.join([*map(str, programs), os.environ["PATH"]])
    needed("node", path)
    needed("uv", path)
    if not CLI.exists():
        pytest.skip("the vercel CLI is not installed: run `npm ci` in tests/node")
    # VIRTUAL_ENV would make uv install into our own environment.
    inherited = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    return subprocess.run(
        [CLI, "build", "--yes"],
        cwd=project,
        env={**inherited, "PATH": path, "VERCEL_TELEMETRY_DISABLED": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )


def read_functions(output: Path) -> dict[str, FunctionConfig]:
    """Return each function's configuration by its path, such as `api/chat`."""
    root = output / "functions"
    return {
        path.parent.relative_to(root).as_posix().removesuffix(".func"): cast(
            "FunctionConfig", json.loads(path.read_text())
        )
        for path in root.glob("**/*.func/.vc-config.json")
    }


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Build once; the files are some 150 MB, so they do not stay until pytest clears up."""
    project = tmp_path_factory.mktemp("deployment")
    copy_checkout(project)
    done = run_build(project)
    assert done.returncode == 0, done.stdout + done.stderr
    output = project / ".vercel/output"
    config = cast("DeploymentConfig", json.loads((output / "config.json").read_text()))
    yield Deployment(project, config, read_functions(output))
    shutil.rmtree(project)


def test_each_file_of_api_becomes_a_function(deployment: Deployment) -> None:
    files = {path.relative_to(PROJECT).as_posix() for path in PROJECT.glob("api/**/*.py")}

    assert {f"{name}.py" for name in deployment.functions} == files
    assert len(files) <= MAX_FUNCTIONS


def test_answering_may_take_five_minutes_and_all_else_half_a_minute(deployment: Deployment) -> None:
    allowed = {name: config["maxDuration"] for name, config in deployment.functions.items()}

    long = ("api/chat", "api/chat/[id]/stream", "api/cron/cleanup")
    assert allowed == dict.fromkeys(allowed, 30) | dict.fromkeys(long, 300)


def test_a_conversation_in_the_path_leads_to_the_function_of_its_stream(
    deployment: Deployment,
) -> None:
    path = f"/api/chat/{CONVERSATION}/stream"
    rules = {
        route["src"]: route["dest"].replace("$1", r"\1")
        for route in deployment.config["routes"]
        if "src" in route and "dest" in route
    }

    [dest] = {re.sub(src, dest, path) for src, dest in rules.items() if re.fullmatch(src, path)}

    assert dest == f"/api/chat/[id]/stream?id={CONVERSATION}"


def test_the_clean_up_is_asked_for_once_a_day(deployment: Deployment) -> None:
    # Hobby refuses a schedule that is more frequent.
    assert deployment.config["crons"] == [{"path": "/api/cron/cleanup", "schedule": "17 3 * * *"}]


def test_nothing_but_public_is_served_as_files(deployment: Deployment) -> None:
    static = deployment.output / "static"
    served = {path.relative_to(static) for path in static.glob("**/*") if path.is_file()}
    public = PROJECT / "public"

    assert served == {path.relative_to(public) for path in public.glob("**/*") if path.is_file()}
    assert Path("index.html") in served


def test_a_bundle_holds_what_runs_and_nothing_else(deployment: Deployment) -> None:
    for config in deployment.functions.values():
        ours = [Path(name) for name in config["filePathMap"] if not name.startswith("_vendor/")]

        assert {path.parts[0] for path in ours} == {"api", "lib", "sql", "models.json"}
        # The words by which a guest's id can be guessed.
        assert {path for path in ours if path.suffix == ".txt"} == {Path("lib/chat/words.txt")}
        assert {path.suffix for path in ours} == {".py", ".sql", ".txt", ".json"}


def test_a_bundle_holds_all_of_lib_and_of_sql_what_a_function_reads(
    deployment: Deployment,
) -> None:
    sources = {path.relative_to(PROJECT) for path in PROJECT.glob("lib/**/*.py")}
    statements = {path.relative_to(PROJECT) for path in PROJECT.glob("sql/queries/**/*.sql")}
    # Health compares their names with the database's.
    migrations = {
        path.relative_to(PROJECT)
        for path in PROJECT.glob("sql/migrations/*.sql")
        if not path.name.endswith(".down.sql")
    }

    words = {Path("lib/chat/words.txt")}
    wanted = {path.as_posix() for path in sources | words | statements | migrations}
    for config in deployment.functions.values():
        ours = {name for name in config["filePathMap"] if name.startswith(("lib/", "sql/"))}
        assert ours == wanted


def test_a_bundle_holds_the_packages_of_the_lock_and_no_others(deployment: Deployment) -> None:
    locked = {(name, package.version) for name, package in packages_of_functions().items()}

    for config in deployment.functions.values():
        parts = {Path(name).parts[1] for name in config["filePathMap"] if "/" in name}
        installed = {name_and_version(part) for part in parts if part.endswith(".dist-info")}
        others = {name for name, _ in installed - locked}
        assert locked <= installed
        # The builder adds these itself, each in the version that it chooses.
        assert others == {"pip", "vercel-runtime"}


def test_the_lock_names_the_very_wheels_that_the_builder_installs(deployment: Deployment) -> None:
    # Beside the bundle's files, of which the builder leaves some out.
    installed = deployment.project.glob(".vercel/python/.venv/lib/*/site-packages/*.dist-info")
    wheels = {name_and_version(path.name)[0]: (path / "WHEEL").read_text() for path in installed}

    for name, package in packages_of_functions().items():
        tags = re.findall(r"^Tag: (\S+)$", wheels[name], re.MULTILINE)
        assert {str(tag) for tag in tags_of(package.url)} == set(tags), name


def name_and_version(part: str) -> tuple[str, str]:
    """Return a package's name and version from the name of its `.dist-info` directory."""
    name, version = part.removesuffix(".dist-info").split("-")
    return normal_name(name), version


def test_a_file_with_another_hash_than_the_locks_fails_the_build(tmp_path: Path) -> None:
    # One function is enough: the builder installs before it looks at any.
    copy_checkout(tmp_path)
    (tmp_path / "uv.lock").write_text(with_wrong_hashes("starlette"))

    done = run_build(tmp_path)

    assert done.returncode == 1
    assert "Hash mismatch for `starlette==" in done.stdout + done.stderr
    assert not list(tmp_path.glob(".vercel/output/functions/**/.vc-config.json"))


def with_wrong_hashes(name: str) -> str:
    """Return the lock with hashes of zeros for the files of one package."""
    head, entry, tail = re.split(
        rf'(\[\[package\]\]\nname = "{name}"\n.*?(?=\[\[package\]\]))',
        LOCK.read_text(),
        flags=re.DOTALL,
    )
    return head + re.sub("sha256:[0-9a-f]{64}", f"sha256:{'0' * 64}", entry) + tail


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/api/history", "Cache-Control", "no-store"),
        ("/api/history", "X-Content-Type-Options", "nosniff"),
        ("/", "X-Content-Type-Options", "nosniff"),
        ("/", "X-Frame-Options", "DENY"),
        ("/", "Referrer-Policy", "no-referrer"),
    ],
)
def test_the_edge_adds_headers(deployment: Deployment, path: str, name: str, value: str) -> None:
    assert headers_of(deployment, path)[name] == value


def test_the_page_may_run_its_own_script_and_speak_to_its_own_origin_only(
    deployment: Deployment,
) -> None:
    policy = headers_of(deployment, "/")["Content-Security-Policy"]

    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == "'self' 'unsafe-inline'"
    assert rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"


def headers_of(deployment: Deployment, path: str) -> dict[str, str]:
    """Return the headers that the router's rules give to the answer for a path."""
    rules = [route for route in deployment.config["routes"] if "headers" in route]
    matching = [rule for rule in rules if re.search(rule.get("src", ""), path)]
    return {name: value for rule in matching for name, value in rule.get("headers", {}).items()}


def test_a_built_function_starts_from_its_bundle_and_answers(
    deployment: Deployment, tmp_path: Path, database_url: str
) -> None:
    bundle = deployment.unpack("api/history", tmp_path)
    environment = deployment.functions["api/history"]["environment"]

    with start_bundle(bundle, {**environment, "DATABASE_URL": database_url}) as function:
        answer = httpx2.get(
            f"{function.base_url}/api/history?conversation_id={CONVERSATION}",
            headers=invocation_headers(30),
        )

    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"
