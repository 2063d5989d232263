"""The address that a console listens on, and what the command line says of its endpoints."""

import json
import socket
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from console.serve import _listen
from processor.cli.main import app
from processor.settings import SettingsError


def test_connections_send_at_once_what_they_have():
    with _listen("127.0.0.1", 0) as listening:
        listening.listen()
        with socket.create_connection(listening.getsockname()), listening.accept()[0] as accepted:
            # By this asyncio knows a connection on which it is to set TCP_NODELAY.
            assert accepted.proto == socket.IPPROTO_TCP


def test_an_address_that_is_taken_is_named():
    with _listen("127.0.0.1", 0) as first:
        first.listen()
        port = first.getsockname()[1]

        with pytest.raises(SettingsError, match=rf"CONSOLE_PORT.*127\.0\.0\.1:{port}: Address"):
            _listen("127.0.0.1", port)


def test_the_command_line_prints_the_openapi_document():
    told = CliRunner().invoke(app, ["schema", "--openapi"])

    document = json.loads(told.stdout)
    assert told.exit_code == 0
    assert document["openapi"].startswith("3.1")
    assert "/api/v1/profiles/{kind}/{profile_id}/records" in document["paths"]


def test_a_console_starts_without_what_only_training_needs():
    heavy = {"mlflow", "pandas", "plotly", "pyarrow", "shap", "skops", "sklearn"}
    code = f"import sys, console.serve; print({heavy} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set()\n"


def test_figures_are_drawn_without_pandas():
    code = (
        "import sys; from console.pages.warming import warm_pages; warm_pages(); "
        "print({'pandas', 'pyarrow', 'sklearn'} & set(sys.modules), 'plotly' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "set() True\n"


@pytest.mark.skipif(sys.platform != "linux", reason="glibc alone is asked")
def test_free_memory_goes_back_to_the_system():
    # Blocks too small to have pages of their own, with one in use above them.
    code = """
import ctypes, threading
from console import serve
serve.tune_process()
serve.LOOK_SECONDS = serve.TRIM_SECONDS = 0.05
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
stopping, before = threading.Event(), serve.resident()
thread = threading.Thread(target=serve.give_back, args=(stopping,))
blocks = [libc.malloc(4096) for _ in range(50_000)]
for block in blocks: ctypes.memset(block, 1, 4096)
grown = serve.resident() - before
for block in blocks[:-1]: libc.free(block)
kept = serve.resident() - before
thread.start()
for _ in range(500):
    if serve.resident() - before < grown / 4: break
    stopping.wait(0.02)
left = serve.resident() - before
stopping.set(); thread.join()
print(grown > 150e6, kept > 150e6, left < grown / 4)
"""
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert told.stdout == "True True True\n"
