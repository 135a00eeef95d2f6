"""Several processes and one cache: one builds, the others wait; a killed one leaves no trace."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engines.plans.cache import PlanCache
from engines.plans.keys import PlanKey

BUILDER = """
import sys, time
from pathlib import Path
from engines.bundle import open_bundle
from engines.plans.build import build_plan
from engines.plans.cache import PlanCache
from engines.plans.makers import Product

bundle, folder, log, seconds = sys.argv[1:]

def maker(job):
    with open(log, "a") as file:
        file.write("began\\n")
    time.sleep(float(seconds))
    return Product({"search.onnx": job.bundle.search_graph(),
                    "query.onnx": job.bundle.query_graph()})

plan = build_plan(open_bundle(Path(bundle)), "onnxruntime", "fp16", maker=maker,
                  cache=PlanCache(Path(folder)), progress=lambda line: print(line, flush=True))
print(plan.sha256("search.onnx"))
"""


@pytest.fixture
def start(tiny_bundle: Path, tmp_path: Path):
    """Give a function that starts a process which builds, or waits for, the same plan."""
    running: list[subprocess.Popen[str]] = []

    def begin(seconds: float) -> subprocess.Popen[str]:
        words = [str(tiny_bundle), str(tmp_path / "cache"), str(tmp_path / "log"), str(seconds)]
        process = subprocess.Popen(
            [sys.executable, "-c", BUILDER, *words], stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_two_processes_build_one_plan(start, tmp_path: Path) -> None:
    first = start(1.5)
    wait_for(tmp_path / "log")
    second = start(1.5)
    said = [process.communicate(timeout=90)[0].splitlines() for process in (first, second)]
    assert (first.returncode, second.returncode) == (0, 0)
    assert (tmp_path / "log").read_text() == "began\n", "nothing was built twice"
    assert said[0][-1] == said[1][-1]
    assert said[1][0] == "another process is making this plan; waiting for it"


def test_after_a_kill_the_next_one_builds(start, tmp_path: Path) -> None:
    first = start(60)
    wait_for(tmp_path / "log")
    second = start(0)
    assert second.stdout is not None
    assert "waiting" in second.stdout.readline()
    first.send_signal(signal.SIGKILL)
    assert second.communicate(timeout=90)[0]
    assert second.returncode == 0
    assert (tmp_path / "log").read_text() == "began\nbegan\n"
    (plan,) = PlanCache(tmp_path / "cache").plans()
    assert plan.read("search.onnx")


KILLED_WHILE_STORING = """
import os, signal, sys
from pathlib import Path
from engines.plans import cache as module
from engines.plans.cache import PlanCache
from engines.plans.keys import parse_key
import json

write = module.write_durably

def die(path, data):
    if path.name == "query.onnx":
        os.kill(os.getpid(), signal.SIGKILL)
    write(path, data)

module.write_durably = die
key = parse_key(json.loads(sys.argv[2]))
cache = PlanCache(Path(sys.argv[1]))
with cache.lock(key, lambda: None):
    cache.store(key, {"search.onnx": b"half", "query.onnx": b"never"}, {})
"""


def test_a_kill_while_storing_leaves_the_older_plan_and_is_swept(
    cache: PlanCache, key: PlanKey
) -> None:
    older = cache.store(key, {"search.onnx": b"older"}, {})
    done = subprocess.run(
        [sys.executable, "-c", KILLED_WHILE_STORING, cache.folder, json.dumps(key.fields())],
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    left = sorted(path.name for path in (cache.folder / "plans").iterdir())
    assert len(left) == 2
    assert cache.find(key) == older
    assert cache.plans() == [older]
    with cache.lock(key, lambda: None):
        pass
    assert [path.name for path in (cache.folder / "plans").iterdir()] == [key.name]


def test_a_wait_can_be_given_up(cache: PlanCache, key: PlanKey) -> None:
    class EnoughError(Exception):
        pass

    def enough() -> None:
        raise EnoughError("no more")

    with (
        cache.lock(key, enough),
        pytest.raises(EnoughError, match="no more"),
        cache.lock(key, enough),
    ):
        pass
    with cache.lock(key, enough):
        pass


AS_NOBODY = """
import os, sys
from pathlib import Path
from engines.bundle import open_bundle
from engines.errors import PlanError
from engines.plans.build import build_plan, plan_key
from engines.plans.cache import PlanCache
from engines.plans.makers import Product

bundle = open_bundle(Path(sys.argv[1]))
plan_key(bundle, "onnxruntime", "fp16")  # imports, while they can be read
if os.geteuid() == 0:
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
maker = lambda job: print("made") or Product({"search.onnx": b"x"})
try:
    build_plan(bundle, "onnxruntime", "fp16", maker=maker, cache=PlanCache(Path(sys.argv[2])))
except PlanError as error:
    print(error)
"""


@pytest.mark.parametrize("there", [True, False])
def test_a_read_only_folder_is_told_before_anything_is_made(
    tiny_bundle: Path, tmp_path: Path, there: bool
) -> None:
    parent = tmp_path / "parent"
    folder = parent / "cache"
    (folder if there else parent).mkdir(parents=True)
    if os.geteuid() == 0:
        os.chown(folder if there else parent, 65534, 65534)
    (folder if there else parent).chmod(0o500)
    for path in tmp_path.parents:  # a user without rights must be able to come this far
        if path.name.startswith("pytest-") or path.parent.name.startswith("pytest-"):
            path.chmod(0o755)
    tmp_path.chmod(0o755)
    done = subprocess.run(
        [sys.executable, "-c", AS_NOBODY, tiny_bundle, folder],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = "this process may not write to it" if there else "cannot make it: Permission denied"
    assert done.stdout == f"cannot use plan {folder}: {said}\n"
