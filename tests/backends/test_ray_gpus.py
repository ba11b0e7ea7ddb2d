"""Several GPUs of a trial on a real Ray that is told it had four: it counts them and no more."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.objectives import ROOT

# A process of its own: a session has one Ray at a time.
SEARCH = """
import json, sys
from pathlib import Path
import ray
from runner.backends.ray import Cluster, RayBackend
from runner.backends.ray.cluster import usual_needs
from tests.backends.feeds import Trials
from tests.backends.seeing import Seeing

ray.init(address="local", num_cpus=4, num_gpus=5, include_dashboard=False, log_to_driver=False)
cluster = Cluster(usual_needs(gpus_per_trial=2))
folder = Path(sys.argv[1])
backend = RayBackend(Seeing(), cluster, folder=folder, log=folder / "sent.txt")
trials = Trials(folder, [{}], [{}], [{}])
backend.run(trials)
backend.close()
print("SEEN", json.dumps({
    "needs": dict(cluster.needs.bundle),
    "slots": cluster.count(),
    "notes": [dict(ending.notes) for _, ending in trials.endings],
}))
"""


@pytest.mark.slow
def test_trial_of_two_gpus_sees_two_that_no_other_sees(tmp_path: Path) -> None:
    answer = subprocess.run(
        [sys.executable, "-c", SEARCH, str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=250,
        check=False,
    )
    lines = [line for line in answer.stdout.splitlines() if line.startswith("SEEN ")]
    assert lines, answer.stderr
    seen = json.loads(lines[0].removeprefix("SEEN "))
    assert seen["slots"] == 2
    assert seen["needs"] == {"CPU": 2.0, "GPU": 2}
    assert [note["devices"] for note in seen["notes"]] == [["cuda:0", "cuda:1"]] * 3
    for note in seen["notes"]:
        assert len(set(note["visible"].split(","))) == 2
