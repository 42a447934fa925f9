"""Writes envelopes/celery-*.json anew: what each version of Celery really puts on Redis for orders of every kind.

By hand, where packages can be downloaded: ``.venv/bin/python tests/contract/make_envelopes.py``.
Ids, tags of delivery and the times of a countdown are other ones each time; nothing else changes for one version.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from worker.embedded.valkey import Valkey

HERE = Path(__file__).parent
UV = HERE.parents[1] / ".tools/bin/uv"
VERSIONS = ("5.3", "5.4", "5.5", "5.6", "5.7")


def installed(celery: str, folder: Path) -> Path:
    """The Python of a new environment with this version of Celery, and with the Kombu of its day."""
    python = folder / celery / "bin/python"
    subprocess.run([UV, "venv", "-q", "--python", sys.executable, python.parents[1]], check=True)
    packages = [f"celery[redis,yaml,msgpack]=={celery}.*", f"kombu=={celery}.*"]
    subprocess.run([UV, "pip", "install", "-q", "--python", python, *packages], check=True)
    return python


def orders_of(python: Path, url: str) -> str:
    """What its Celery publishes, as JSON that people can compare."""
    printed = subprocess.run([python, HERE / "a_producer.py", url], check=True, capture_output=True, text=True)
    return json.dumps(json.loads(printed.stdout), indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = Valkey(folder / "valkey")
        server.start()
        try:
            for celery in VERSIONS:
                written = orders_of(installed(celery, folder), server.url)
                (HERE / "envelopes" / f"celery-{celery}.json").write_text(written, encoding="utf-8")
        finally:
            server.stop()


if __name__ == "__main__":
    main()
