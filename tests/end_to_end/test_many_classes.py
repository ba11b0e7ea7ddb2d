"""Ten thousand class folders: the second pass, and a trial with its evaluation."""

import json
import re
import threading
import time
from pathlib import Path

import pytest

from tests.data.many_classes import write_pictures
from tests.end_to_end.conftest import Terminal

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]
MANY = """
name: many
data: {source: folder, path: many, image_size: 32}
model: {name: resnet10t, weights: none, arguments: {channels: [8, 8, 16, 16]}}
train: {epochs: 1, batch_size: 256, augmentation: none}
search: {trials: 1, devices: [cpu], pruner: none, space: {learning_rate: 1.0e-3}}
"""


def watch_peak(pid: int, peaks: list[float]) -> None:
    """Note what a process has taken at the most, GiB, until it ends.

    `wait4` would tell the peak of the process that started it, if that was higher.
    """
    while True:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        if found is None:  # it has ended, and is waited for
            return
        peaks.append(int(found[1]) / 2**20)
        time.sleep(0.02)


def taken(terminal: Terminal, *arguments: str) -> tuple[str, float, float]:
    """What a command that succeeds prints, its seconds, and the GiB it takes at the most."""
    started = time.perf_counter()
    process = terminal.start(*arguments)
    peaks = [0.0]
    watching = threading.Thread(target=watch_peak, args=(process.pid, peaks))
    watching.start()
    output = process.stdout.read()
    assert process.wait() == 0, output
    watching.join()
    seconds, gib = time.perf_counter() - started, peaks[-1]
    print(f"{arguments[0]}: {seconds:.0f} s, {gib:.2f} GiB")
    return output, seconds, gib


def test_ten_thousand_class_folders_are_validated_searched_and_evaluated(
    terminal: Terminal, tmp_path: Path
) -> None:
    write_pictures(tmp_path / "many", classes=10_000, each=2)
    (tmp_path / "many.yaml").write_text(MANY)

    output, seconds, gib = taken(terminal, "validate", "many.yaml")

    assert "valid\n" in output
    assert seconds < 240
    assert gib < 3

    _, seconds, gib = taken(terminal, "search", "many.yaml", "--backend", "inline")

    assert seconds < 900
    assert gib < 8
    (path,) = (tmp_path / "store").rglob("trials/00000/evaluation.json")
    evaluation = json.loads(path.read_text())
    assert path.stat().st_size < 5e6
    assert "confusion" not in evaluation
    assert len(evaluation["per_class"]) == 10_000
    assert 0 < len(evaluation["most_confused"]) <= 1000
    assert evaluation["metrics"]["auroc"] is not None
