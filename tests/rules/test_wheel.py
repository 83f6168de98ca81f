"""What people install: the wheel has the app and everything the server needs, and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import HTTPCookieProcessor, build_opener

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

# Everything that `pip install epochal` brings along; each has its reason in pyproject.toml.
BASE_PACKAGES = {"epochal", "msgspec", "psutil", "nvidia-ml-py", "urllib3", "zstandard"}


def build(source: Path, kind: str, out: Path, env: dict[str, str]) -> Path:
    """Build the source archive or the wheel of the tree `source`."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--outdir", str(out), str(source)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


def without_node(folder: Path) -> dict[str, str]:
    """Return an environment whose PATH has everything but Node.js."""
    folder.mkdir()
    for place in reversed(os.environ["PATH"].split(os.pathsep)):
        for program in Path(place).iterdir() if Path(place).is_dir() else ():
            if program.name not in {"node", "nodejs", "npm", "npx"}:
                link = folder / program.name
                link.unlink(missing_ok=True)
                link.symlink_to(program)
    assert shutil.which("node", path=str(folder)) is None
    return {**os.environ, "PATH": str(folder)}


@pytest.fixture(scope="module")
def archive(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, made from the checkout."""
    return build(root, "sdist", tmp_path_factory.mktemp("sdist"), dict(os.environ))


@pytest.fixture(scope="module")
def wheel(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, made from the source archive on a machine without Node.js."""
    folder = tmp_path_factory.mktemp("wheel")
    with tarfile.open(archive) as tar:
        tar.extractall(folder / "source", filter="data")
    (tree,) = (folder / "source").iterdir()
    return build(tree, "wheel", folder / "out", without_node(folder / "bin"))


@pytest.fixture(scope="module")
def names(wheel: Path) -> set[str]:
    """The names of the files in the wheel."""
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


def test_the_wheel_has_the_built_web_app(names: set[str]) -> None:
    assert "epochal/server/static/index.html" in names
    assert any(re.fullmatch(r"epochal/server/static/assets/[\w.-]+\.js", name) for name in names)
    assert any(re.fullmatch(r"epochal/server/static/assets/[\w.-]+\.css", name) for name in names)


def test_the_wheel_has_what_the_code_reads_from_its_own_folder(names: set[str]) -> None:
    assert "epochal/py.typed" in names
    assert "epochal/server/graphql/schema.graphql" in names
    assert any(name.startswith("epochal/store/metadata/migrations/versions/") for name in names)


def test_the_wheel_has_every_module_and_data_file_of_the_package(names: set[str], root: Path) -> None:
    command = ["git", "ls-files", "-z", "src/epochal"]
    if not (root / ".git").exists():
        pytest.skip("this tree is no git checkout, so there is no list of its files")
    tracked = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")

    assert {name.removeprefix("src/") for name in tracked if name} <= names


def test_the_wheel_has_no_tests_and_no_sources_of_the_web_app(names: set[str]) -> None:
    own = {name for name in names if not name.startswith("epochal/server/static/")}
    strange = [
        name
        for name in own
        if not name.startswith(("epochal/", "epochal-")) or name.endswith((".ts", ".tsx", ".pyc", ".js"))
    ]

    assert not strange
    assert not [
        name for name in names if "node_modules" in name or "/tests/" in name or ".built-from" in name
    ]


def test_the_wheel_is_small(wheel: Path) -> None:
    assert wheel.stat().st_size < 3 * 2**20


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with the base install in it."""
    folder = tmp_path_factory.mktemp("base") / "venv"
    venv.create(folder, with_pip=True)
    pip_install(folder / "bin", str(wheel))
    return folder / "bin"


def pip_install(programs: Path, what: str) -> None:
    command = [str(programs / "python"), "-m", "pip", "install", "--quiet", what]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_base_install_has_few_packages(installed: Path) -> None:
    command = [str(installed / "python"), "-m", "pip", "list", "--format=freeze"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert {line.partition("==")[0] for line in listed} - {"pip", "setuptools"} == BASE_PACKAGES


def test_the_base_install_logs_a_run(installed: Path, epochal_home: Path) -> None:
    script = "import epochal as wandb\nwandb.init(project='p')\nwandb.log({'loss': 0.5})\nwandb.finish()"
    done = subprocess.run(
        [str(installed / "python"), "-c", script], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert len(list(epochal_home.glob("runs/run-*/*.runlog"))) >= 1


def test_the_command_of_the_base_install_says_what_the_server_needs(installed: Path) -> None:
    done = subprocess.run([str(installed / "epochal"), "ui"], capture_output=True, text=True, check=False)

    assert done.returncode == 1
    assert "pip install 'epochal[server]'" in done.stderr + done.stdout
    assert "Traceback" not in done.stderr


@pytest.fixture
def address(wheel: Path, tmp_path: Path) -> Iterator[str]:
    """The sign-in link of a server that runs from the wheel alone."""
    venv.create(tmp_path / "venv", with_pip=True)
    programs = tmp_path / "venv" / "bin"
    pip_install(programs, f"{wheel}[server]")
    command = [str(programs / "epochal"), "ui", "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            assert process.stdout is not None
            for line in process.stdout:
                if found := re.search(r"http://\S+token=\S+", line):
                    yield found.group()
                    break
            else:
                pytest.fail("the server ended without naming its address")
        finally:
            process.terminate()


def test_the_server_of_the_wheel_shows_the_app(address: str) -> None:
    browser = build_opener(HTTPCookieProcessor())
    browser.addheaders = [("Accept", "text/html")]  # a page is only shown to who asks for one
    with browser.open(address) as page:
        text = page.read().decode()
    assets = re.findall(r'"(/assets/[^"]+)"', text)

    assert assets
    for asset in assets:
        with browser.open("{0.scheme}://{0.netloc}".format(urlsplit(address)) + asset) as file:
            assert file.status == 200
