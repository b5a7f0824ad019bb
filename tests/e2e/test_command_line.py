"""The command line as a newcomer types it."""

import json
import re
import signal
import socket
import subprocess
from pathlib import Path

import httpx
import pytest

from amancay_server.embedded_mongo import EmbeddedMongo
from tests.running import COMMAND, RunningServer, demo

TOUR_SECONDS = 180


def amancay(*arguments: str, timeout: float = 60) -> "subprocess.CompletedProcess[str]":
    """Runs the command line to its end."""
    return subprocess.run(
        [COMMAND, *arguments], capture_output=True, text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL
    )


def ask(server: RunningServer, user: str, document: str) -> object:
    token = amancay("token", user, "--data-dir", str(server.data_dir)).stdout.strip()
    answer = httpx.post(server.url, json={"query": document}, headers={"authorization": f"Bearer {token}"})
    return answer.json()


@pytest.fixture(scope="module")
def toured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, "subprocess.CompletedProcess[str]"]:
    """A data directory after `amancay demo --once --port 0`, and what that printed."""
    directory = tmp_path_factory.mktemp("toured")
    return directory, amancay("demo", "--once", "--port", "0", "--data-dir", str(directory), timeout=TOUR_SECONDS)


def test_the_tour_ends_well_and_asks_what_it_should(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    _, tour = toured
    assert tour.returncode == 0, tour.stderr
    assert re.search(r"^ready http://127\.0\.0\.1:\d+/graphql$", tour.stdout, re.MULTILINE)
    for words in ("COUNT(*)", "AVG(income)", "COUNT(DISTINCT person_id)", "refused", "Adelie"):
        assert words in tour.stdout
    assert "Traceback" not in tour.stderr
    assert "ERROR" not in tour.stderr


def test_the_budget_lines_add_up_to_the_ledger(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """Goal: what the tour prints is what the ledger holds. Method: each dataset's last line against its entries."""
    directory, tour = toured
    lines = re.findall(r"budget +(\w+): spent epsilon ([\d.e-]+), delta ([\d.e-]+)", tour.stdout)
    printed = {dataset: (float(epsilon), float(delta)) for dataset, epsilon, delta in lines}
    assert set(printed) == {"penguins", "income", "visits"}
    with demo(directory) as server:
        answer = ask(
            server,
            "researcher",
            "{ me { grants { edges { node { dataset budget { spent { epsilon delta } reserved { epsilon } } "
            "ledger(first: 100) { edges { node { kind loss { epsilon delta } } } } } } } } }",
        )
    assert isinstance(answer, dict)
    for edge in answer["data"]["me"]["grants"]["edges"]:
        grant = edge["node"]
        entries = [entry["node"] for entry in grant["ledger"]["edges"]]
        committed = [entry["loss"] for entry in entries if entry["kind"] == "COMMIT"]
        total = (sum(loss["epsilon"] for loss in committed), sum(loss["delta"] for loss in committed))
        assert total == pytest.approx(printed[grant["dataset"]])
        assert grant["budget"]["spent"]["epsilon"] == pytest.approx(total[0])
        assert grant["budget"]["reserved"]["epsilon"] == 0


@pytest.mark.slow
def test_the_ledger_can_be_checked_in_every_state(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    """After the demo has ended, while only the store is up, and while the server runs."""
    directory, _ = toured
    ended = amancay("ledger", "check", "--data-dir", str(directory))
    assert (ended.returncode, ended.stdout) == (0, "Every invariant of the ledger holds.\n")
    with EmbeddedMongo.at(directory):
        assert amancay("ledger", "check", "--data-dir", str(directory)).returncode == 0
    with demo(directory):
        assert amancay("ledger", "check", "--data-dir", str(directory)).returncode == 0


def test_checking_what_is_not_there_says_so(tmp_path: Path) -> None:
    missing = amancay("ledger", "check", "--data-dir", str(tmp_path / "nowhere"))
    assert missing.returncode == 1
    assert "There is no store in" in missing.stderr
    assert not (tmp_path / "nowhere").exists()


def test_tokens_are_for_the_demo_users_only(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    directory, _ = toured
    token = amancay("token", "auditor", "--data-dir", str(directory))
    assert token.returncode == 0
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+\n", token.stdout)
    stranger = amancay("token", "stranger", "--data-dir", str(directory))
    assert (stranger.returncode, stranger.stdout) == (1, "")
    assert "researcher, newcomer, auditor, admin" in stranger.stderr


def test_no_token_without_a_demo(tmp_path: Path) -> None:
    refused = amancay("token", "researcher", "--data-dir", str(tmp_path))
    assert (refused.returncode, refused.stdout) == (1, "")
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        refused = amancay("demo", "--port", str(taken.getsockname()[1]), "--data-dir", str(tmp_path))
    assert refused.returncode == 1
    assert "choose another with --port" in refused.stderr


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_cleanly(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    directory, _ = toured
    with demo(directory) as server:
        newcomer = ask(server, "newcomer", "{ me { name role } datasets { edges { node { name } } } }")
        assert newcomer == {"data": {"me": {"name": "newcomer", "role": "RESEARCHER"}, "datasets": {"edges": []}}}
        assert server.stop() == 0
    assert not (directory / "mongo" / "mongod.lock").read_text().strip()


@pytest.mark.slow
def test_a_killed_demo_comes_back(toured: tuple[Path, "subprocess.CompletedProcess[str]"]) -> None:
    directory, _ = toured
    with demo(directory) as server:
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with demo(directory) as server:
        assert ask(server, "admin", "{ me { role } }") == {"data": {"me": {"role": "ADMIN"}}}


def test_serving_needs_an_issuer() -> None:
    refused = amancay("serve", "--port", "0")
    assert refused.returncode == 1
    assert "AMANCAY_IDENTITY__ISSUER" in refused.stderr


def test_the_schema_is_printed() -> None:
    printed = amancay("schema", "export")
    assert printed.stdout == (Path(__file__).parents[2] / "schema.graphql").read_text()
    assert json.dumps(printed.returncode) == "0"


@pytest.mark.parametrize("command", [(), ("demo",), ("serve",), ("token",), ("ledger", "check"), ("schema", "export")])
def test_every_command_explains_itself(command: tuple[str, ...]) -> None:
    helped = amancay(*command, "--help")
    assert helped.returncode == 0
    assert len(helped.stdout) > 200
