"""Many files at once, as a hospital has them: flat memory, a kill in the middle, traps in the tree."""

import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.synthetic_dicom import PATIENT, Sample, write
from xray_denoise import denoisers, files
from xray_denoise.tasks.batch import run_jobs
from xray_denoise.tasks.jobs import MANIFEST_NAME, plan_jobs
from xray_denoise.tasks.options import Options

EXECUTABLE = Path(sys.executable).with_name("xray-denoise")
ROOT = Path(__file__).resolve().parents[1]


def study(folder: Path, count: int, side: int = 64, broken: int = 0) -> Path:
    """A folder of `count` radiographs, every so often a broken one."""
    folder.mkdir()
    stored = np.random.default_rng(0).integers(0, 4096, (1, side, side), np.uint16)
    whole = write(folder / "0000.dcm", Sample("CR", shape=(side, side)), stored).read_bytes()
    uid = b"1.2.3.4.1\0"
    for number in range(count):
        data = whole.replace(uid, f"1.2.3.{1000 + number}".encode()[: len(uid)])
        if broken and number % (count // broken) == 1:
            data = data[: 300 + number]
        (folder / f"{number:04d}.dcm").write_bytes(data)
    return folder


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [EXECUTABLE, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads the resident size from /proc")
def test_memory_stays_flat_over_300_files(tmp_path: Path) -> None:
    """The resident size after 100 files and after 300, in a process of its own."""
    study(tmp_path / "in", 300, side=256)
    script = (
        "import sys; from pathlib import Path\n"
        "from xray_denoise import denoisers\n"
        "from xray_denoise.tasks.options import Options\n"
        "from xray_denoise.tasks.batch import run_jobs\n"
        "from xray_denoise.tasks.jobs import plan_jobs\n"
        "from xray_denoise.tasks.manifest import Manifest\n"
        "def resident():\n"
        "    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('VmRSS'))\n"
        "out = Path('out'); jobs, _ = plan_jobs(['in'], out)\n"
        "options = Options(denoisers.get('noisy'), manifest=Manifest(out))\n"
        "sizes = [resident() for outcome in run_jobs(jobs, options) if outcome.status == 'written']\n"
        "print(len(sizes), sizes[99], max(sizes[250:]))\n"
    )
    said = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    count, early, late = map(int, said.stdout.split())
    assert count == 300
    assert late - early < 8 * 1024, f"{early} KiB grew to {late} KiB"


def test_a_killed_batch_leaves_no_half_file_and_is_finished_by_a_second_run(tmp_path: Path) -> None:
    study(tmp_path / "in", 150, broken=5)
    command = [EXECUTABLE, "denoise", "in", "-o", "out", "--model", "noisy"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("*.dcm"))) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
    done = sorted((tmp_path / "out").glob("*.dcm"))
    assert 20 <= len(done) < 145, "it was killed in the middle"
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".dcm", ".jsonl"}
    for path in done:
        assert files.read(path).stored.shape == (64, 64)
    before = {path: path.stat().st_mtime_ns for path in done}

    second = subprocess.run(
        [*command, "--existing", "skip", "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert second.returncode == 1, "five are broken"
    statuses = [json.loads(line)["status"] for line in second.stdout.splitlines()]
    assert len(statuses) == 150
    assert statuses.count("failed") == 5
    assert statuses.count("skipped") == len(done)
    assert f"{145 - len(done)} written, {len(done)} skipped, 5 failed" in second.stderr
    assert {path: path.stat().st_mtime_ns for path in done} == before
    assert len(list((tmp_path / "out").glob("*.dcm"))) == 145
    third = subprocess.run([*command, "--existing", "skip"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "0 written, 145 skipped, 5 failed" in third.stderr


def test_ctrl_c_leaves_no_half_file(tmp_path: Path) -> None:
    study(tmp_path / "in", 200)
    command = [EXECUTABLE, "denoise", "in", "-o", "out", "--model", "noisy"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while len(list((tmp_path / "out").glob("*.dcm"))) < 20 and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert said.splitlines()[-2:] == [
        "error: interrupted",
        "hint:  finished files are kept; `denoise` continues with --existing skip, `train` and `bench` with --resume",
    ]
    done = len(list((tmp_path / "out").glob("*.dcm")))
    told = re.search(r"\n(\d+) written, 0 skipped, 0 failed, (\d+) not begun\n", said)
    assert told is not None
    written, left = map(int, told.groups())
    assert written + left == 200
    assert done - 1 <= written <= done, "one may have been on its way when the signal came"
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".dcm", ".jsonl"}


def test_traps_in_the_tree_cost_themselves_only(tmp_path: Path) -> None:
    """Links in a circle, links to nowhere, names with line ends, and a pipe that nobody writes to."""
    folder = study(tmp_path / "in", 3)
    (folder / "loop").symlink_to(folder)
    (folder / "nowhere.dcm").symlink_to(tmp_path / "missing.dcm")
    (folder / "lock").symlink_to("host:1234")
    (folder / "line\nend.dcm").write_bytes((folder / "0000.dcm").read_bytes())
    os.mkfifo(folder / "pipe.dcm")
    ran = run("denoise", folder, "-o", tmp_path / "out", "--model", "noisy")
    assert ran.returncode == 1, ran.stderr
    assert f"cannot read {folder / 'nowhere.dcm'}: No such file" in ran.stderr
    assert sorted(path.name for path in (tmp_path / "out").glob("*.dcm")) == [
        "0000.dcm", "0001.dcm", "0002.dcm", "line\nend.dcm",
    ]  # fmt: skip
    told = [f"  {folder / name} ({why})" for name, why in (
        ("loop", "a link to a folder"), ("lock", "a link to nothing"), ("pipe.dcm", "a pipe or a device"),
    )]  # fmt: skip
    assert ran.stderr.splitlines()[-5:] == [
        "ignored in the input folders: 3 files",
        *told,
        "4 written, 0 skipped, 1 failed",
    ]


def test_a_pipe_is_refused_rather_than_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dcm")
    ran = run("denoise", tmp_path / "pipe.dcm", "-o", tmp_path / "out.dcm", "--model", "noisy")
    assert ran.returncode == 1
    assert "a pipe or a device" in ran.stderr


def test_an_unreadable_folder_costs_itself_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's refusals are played, because root is refused nothing."""
    folder = study(tmp_path / "in", 2)
    locked = folder / "locked"
    study(locked, 2)
    look, read = os.scandir, Path.open

    def refuse_to_look(path: str) -> Any:
        if Path(path) == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return look(path)

    def refuse_to_read(path: Path, *arguments: Any, **options: Any) -> Any:
        if path == locked:
            raise PermissionError(13, "Permission denied", str(path))
        return read(path, *arguments, **options)

    monkeypatch.setattr(os, "scandir", refuse_to_look)
    monkeypatch.setattr(Path, "open", refuse_to_read)
    jobs, _ = plan_jobs([str(folder)], tmp_path / "out")
    outcomes = list(run_jobs(jobs, Options(denoisers.get("noisy"))))
    assert [one.status for one in outcomes] == ["written", "written", "failed"]
    assert "locked: Permission denied" in outcomes[-1].error


@pytest.mark.skipif(not hasattr(resource, "RLIMIT_FSIZE"), reason="no limit on the size of files here")
def test_a_disk_that_fills_up_costs_what_does_not_fit(tmp_path: Path) -> None:
    """A limit on the size of a file stands for a full disk: small results are written, large ones are not."""
    folder = study(tmp_path / "in", 2)
    study(tmp_path / "large", 1, side=512)
    shutil.copy(tmp_path / "large" / "0000.dcm", folder / "0009.dcm")
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "from xray_denoise.cli import main; main()\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, "denoise", "in", "-o", "out", "--model", "noisy"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 1
    assert "2 written, 0 skipped, 1 failed" in ran.stderr
    assert "0009.dcm" in ran.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0000.dcm", "0001.dcm", MANIFEST_NAME]


def test_errors_take_two_lines_whatever_libraries_print(tmp_path: Path) -> None:
    source = tmp_path / "a.tif"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    Image.fromarray(noise).save(source, compression="tiff_adobe_deflate")
    with Image.open(source) as image:
        strip = image.tag_v2[273][0]  # type: ignore[attr-defined]
    data = source.read_bytes()
    source.write_bytes(data[:strip] + b"\x55" * 32 + data[strip + 32 :])
    ran = run("denoise", source, "-o", tmp_path / "out.png", "--model", "noisy")
    assert ran.returncode == 1
    first, *rest = ran.stderr.splitlines()
    assert first == "denoising with noisy on cpu"
    assert [line[:7] for line in rest] == ["error: ", "hint:  "]


def test_nothing_of_the_patient_is_told(tmp_path: Path) -> None:
    """Neither in what is printed, however much is asked for, nor in the manifest, the page or a picture."""
    folder = study(tmp_path / "in", 4, broken=2)
    whole = (folder / "0000.dcm").read_bytes()
    misplaced = whole.replace(b"ISO_IR 100", b"JANE DOE7 ").replace(b"IS\2\0003 ", b"IS\2\0D^")
    assert misplaced.count(b"JANE DOE7") == misplaced.count(b"D^") == 1
    (folder / "0004.dcm").write_bytes(misplaced)
    ran = run("-v", "denoise", folder, "-o", tmp_path / "out", "--model", "noisy", "--json",
              "--report", tmp_path / "page.html", "--save-noise-map", "--log", tmp_path / "log.jsonl")  # fmt: skip
    picture = run("denoise", folder / "0000.dcm", "-o", tmp_path / "out.png", "--model", "noisy")
    assert picture.returncode == 0
    assert ran.returncode == 1
    written = [
        path.read_bytes()
        for path in (
            tmp_path / "page.html",
            tmp_path / "log.jsonl",
            tmp_path / "out.png",
            tmp_path / "out" / MANIFEST_NAME,
        )
    ]
    told = (ran.stdout + ran.stderr + picture.stderr).encode()
    for private in (PATIENT, "JANE", "PID-4711", "19500101", "ACC7", "D^"):
        assert all(private.encode() not in one for one in (*written, told)), private


NO_NETWORK = """
import os, socket, sys

def refuse(*arguments, **options):
    os._exit(99)  # an exception might be caught

bind = socket.socket.bind

def bind_here(self, address):  # urllib3, which pydicom imports where it is, asks so whether there is IPv6
    return bind(self, address) if address[0] in ("::1", "127.0.0.1") else refuse()

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, refuse)
socket.socket.bind = bind_here
for name in ("create_connection", "getaddrinfo", "gethostbyname"):
    setattr(socket, name, refuse)
from xray_denoise.cli import main

main()
"""


def test_no_command_touches_the_network(tmp_path: Path) -> None:
    for line in (
        "info",
        "synth --size 64 --save-clean --format dcm",
        "synth --size 64 -o pictures --count 2",
        "synth --size 64 -o clean --no-save-clean --eta 1e6 --sigma 0",
        "denoise phantom-0_clean.dcm -o out.dcm",
        "denoise pictures -o results --report page.html",
        "bench --images clean --methods noisy,tv --quick",
        "train pictures -o run --net lite --steps 1 --patch-size 32 --batch-size 1 --device cpu",
    ):
        ran = subprocess.run(
            [sys.executable, "-c", NO_NETWORK, *line.split()], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, f"{line}: {ran.stderr}"
