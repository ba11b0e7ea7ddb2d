"""A training script of one's own that knows nothing of the runner; own_command.yaml runs it."""

import argparse
import json
import os
from pathlib import Path

import joblib
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.model_selection import train_test_split

parser = argparse.ArgumentParser()
parser.add_argument("--alpha", type=float, required=True)
parser.add_argument("--loss", required=True)
parser.add_argument("--seed", type=int, required=True)
arguments = parser.parse_args()

pixels, digits = load_digits(return_X_y=True)
train_pixels, held_pixels, train_digits, held_digits = train_test_split(
    pixels / 16, digits, random_state=0
)
model = SGDClassifier(loss=arguments.loss, alpha=arguments.alpha, random_state=arguments.seed)
checkpoints = Path(os.environ["RUNNER_CHECKPOINT"])
for last in checkpoints.iterdir():  # one, if the trial goes on; else none
    model = joblib.load(last)
for epoch in range(int(os.environ["RUNNER_STEP"]) + 1, 10):
    model.partial_fit(train_pixels, train_digits, classes=range(10))
    accuracy = model.score(held_pixels, held_digits)
    joblib.dump(model, checkpoints / f"{epoch}.joblib")
    message = {"step": epoch, "accuracy": accuracy, "checkpoint": f"{epoch}.joblib"}
    print(json.dumps(message), flush=True)
joblib.dump(model, Path(os.environ["RUNNER_FOLDER"]) / "model.joblib")
print(json.dumps({"model": "model.joblib"}), flush=True)
