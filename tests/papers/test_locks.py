"""Locks name hashes and no hosts, and what runs in production is in production's lock."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
REGISTRIES = [".".join(parts) for parts in (("pypi", "org"), ("pythonhosted", "org"), ("docker", "io"), ("ghcr", "io"))]
REGISTRIES += [".".join(parts) for parts in (("quay", "io"), ("npmjs", "org"), ("gcr", "io"), ("amazonaws", "com"))]
HIDDEN = {".ci", ".env.example", ".dockerignore", ".gitignore", ".gitattributes"}
pytestmark = pytest.mark.check

# Everything that a worker, beat or a command of ours imports, with both databases and the broker's transport. What is
# named on the command line cannot be imported; what an extra brings is imported only where it is wanted.
IMPORT_ALL = """
import importlib, pkgutil, sys
class Absent:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1:]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent)
from sqlalchemy import create_engine
import models, worker
from worker.celery import app
for package in (models, worker):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        if module.name != "worker.spans":
            importlib.import_module(module.name)
app.connection_for_write().transport
create_engine("sqlite://"), create_engine("postgresql+psycopg://127.0.0.1/none")
"""


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_has_hashes_and_no_address(lock: Path) -> None:
    written = lock.read_text(encoding="utf-8")

    assert "://" not in written
    assert written.count("\n    --hash=sha256:") >= len(locked(lock)) > 0


def test_all_that_production_imports_is_in_its_lock(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "SMS_GATEWAY_URL": "http://127.0.0.1:9/smsgateway"}
    env |= {"SMS_GATEWAY_LOGIN": "we", "SMS_GATEWAY_PASSWORD": "x"}
    there = locked(ROOT / "requirements/run.txt") | {"getsms-worker"}
    absent = [module for module, names in packages_distributions().items() if not there & {*map(normal, names)}]

    command = [sys.executable, "-c", IMPORT_ALL, *absent]
    imported = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert "pytest" in absent
    assert imported.returncode == 0, imported.stderr


def test_no_file_names_a_registry() -> None:
    tops = [path for path in ROOT.iterdir() if not path.name.startswith(".") or path.name in HIDDEN]
    files = [file for top in tops for file in ([top] if top.is_file() else top.rglob("*")) if file.is_file()]
    sources = [file for file in files if "__pycache__" not in file.parts and file.suffix not in {".db", ".pyc"}]

    assert len(sources) > 50
    named = {file.name for file in sources if any(host in file.read_text(errors="replace") for host in REGISTRIES)}
    assert named == set()


def locked(lock: Path) -> set[str]:
    return {
        normal(name) for name in re.findall(r"^([A-Za-z0-9._-]+)==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    }


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
