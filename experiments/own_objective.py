"""An objective of one's own: scikit-learn's network on its handwritten digits.

Run by own_objective.yaml.
"""

import joblib
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

pixels, digits = load_digits(return_X_y=True)
pixels, test_pixels, digits, test_digits = train_test_split(pixels / 16, digits, random_state=0)
train_pixels, held_pixels, train_digits, held_digits = train_test_split(
    pixels, digits, random_state=1
)


def objective(trial):
    """Trains one trial."""
    model = MLPClassifier(
        (trial.params["units"],),
        learning_rate_init=trial.params["learning_rate"],
        random_state=trial.seed,
    )
    if folder := trial.resume():
        model = joblib.load(folder / "model.joblib")
    for epoch in range(trial.step + 1, trial.params["epochs"] + 1):
        model.partial_fit(train_pixels, train_digits, classes=range(10))
        trial.report(epoch, accuracy=model.score(held_pixels, held_digits))
        joblib.dump(model, trial.folder / "model.joblib")
        if trial.is_best:
            trial.save_model("model.joblib")
        with trial.checkpoint() as folder:
            joblib.dump(model, folder / "model.joblib")


def evaluate(trial):
    """Measures the trial that is to be promoted on digits that no trial has seen."""
    answers = joblib.load(trial.model).predict(test_pixels)
    is_right = answers == test_digits
    return {"accuracy": is_right.mean()}, dict(enumerate(map(float, is_right)))
