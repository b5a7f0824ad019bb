"""The client as a researcher installs it: alone."""

import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOREIGN = ("amancay", "amancay-engine", "amancay-storage", "amancay-worker", "strawberry-graphql", "motor", "opendp")
LOOK = """
import importlib.metadata, sys
import amancay_client
names = {distribution.metadata["Name"].lower() for distribution in importlib.metadata.distributions()}
assert "amancay-client" in names, names
found = sorted(names & set(sys.argv[1:]))
assert not found, found
try:
    amancay_client.connect("http://127.0.0.1:9/graphql", token="none")
except amancay_client.ServerUnreachable as error:
    print(error)
"""


@pytest.mark.slow
def test_an_environment_with_only_the_client_holds_no_server(tmp_path: Path) -> None:
    """Goal: a researcher needs no server package. Method: a fresh environment from the locked requirements."""
    uv = shutil.which("uv") or str(Path(sys.executable).parent / "uv")
    python = tmp_path / "environment" / "bin" / "python"
    venv.create(tmp_path / "environment", with_pip=False)
    install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    subprocess.run([*install, "--require-hashes", "-r", str(ROOT / "requirements" / "client.txt")], check=True)
    shutil.copytree(ROOT / "client", tmp_path / "client")
    subprocess.run([*install, "--no-deps", str(tmp_path / "client")], check=True)
    looked = subprocess.run(
        [str(python), "-I", "-c", LOOK, *FOREIGN], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert looked.returncode == 0, looked.stderr
    assert "127.0.0.1:9" in looked.stdout
