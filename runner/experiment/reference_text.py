"""The prose of the experiment-file reference; its tables come from the models."""

from runner.experiment.task_forms import LabelKind

INTRODUCTION = """\
# The experiment file

Written by `python -m runner.experiment.reference` from the models in `runner/experiment/`; do not
edit it here.

An experiment is one YAML file. The smallest one:

```yaml
name: my_cats
data: {source: folder, path: photos}
model: {name: resnet50.a1_in1k}
search: {space: resnet}
```

**Finding it.** `python -m runner search my_cats` takes a path, or a name with or without `.yaml`:
looked up in the working directory, then in `experiments/` there, then among the experiments that
come with the runner. Paths inside the file, and those given by `--set`, are relative to the file;
write `$PWD/...` for the working directory.

**Overriding it.** `--set key=value` changes any key, as often as needed, in the order given:
`--set search.trials=5 --set 'search.first=[{epochs: 3}]' --set search.space.dropout=0.1`. The
value follows the same rules as in the file; list items are counted from 0
(`search.first.0.epochs=3`).

**How values are read.** `1e-5` is a number. `true` and `false` are the only booleans: `no`, `yes`,
`on` and `off` are text. Dates, `1:30`, `0x1F`, `1_000` and numbers with leading zeros are text.
`null`, `~` or nothing at all is null. Tabs, duplicate keys, merge keys (`<<`) and tags (`!name`)
are refused.

**Durations.** `90s`, `10m`, `2h`, `1d`, sums of these such as `1h30m`, or a number of seconds; at
most 365 days.

**In an editor.** With this first line, editors with a YAML language server complete and check the
file:

```yaml
# yaml-language-server: $schema=../docs/experiment.schema.json
```

**May change.** Running the same command again continues the study. A key marked `no` below is part
of what the study is: with another value it would be another study (`--new`). A key marked `yes`
may change between two runs of the same command.
"""

LABELS = {
    LabelKind.CLASS: "one class each",
    LabelKind.CLASSES: "any number of labels each",
    LabelKind.NUMBER: "a number each",
    LabelKind.TAGS: "a tag for each word",
}
"""Kinds of label in the words of the reference."""

TASKS = """\
## The tasks

{table}

Metrics are measured on the whole validation split after every epoch: fractions, not per cent;
`mae` and `rmse` in the target's own units. `loss` is the plain one, whatever the training loss:
log loss for classes and words, binary cross-entropy for several labels, squared error in standard
deviations of the training targets for numbers. `loss`, `mae` and `rmse` are minimised, all others
maximised. `f1`, `precision` and `recall` of words count whole entities: exact span and type. A
metric that is not defined on a split (`auroc` with one class only) is not a number, and a trial
without a finite value of the search metric ends as `diverged`.

Keys of `train` that a task does not have (`mixup` for texts, `max_length` for images) are refused.

`task: custom` searches over an objective of your own: `objective` names a Python function, or
`command` a program in any language; `params` takes the place of `train`, and the space may vary
whatever they read. `search.metric` is then any metric it reports, and `search.direction` says
which way it is better. See [own-objective.md](own-objective.md).
"""

GRAMMAR = """\
## The search space

A mapping from keys of `train` to what they may be, in `search.space` or in a file of its own in
`search_spaces/`. A key that is not there keeps its value from `train`.

```yaml
learning_rate: {float: [1e-5, 1e-2], log: true}   # orders of magnitude equally likely
dropout: {float: [0.0, 0.5], step: 0.1}           # 0.0, 0.1, ... 0.5
epochs: {int: [2, 6], step: 2}                    # 2, 4, 6
freeze_depth: {int: [0, max]}                     # max: the model's own number of layer groups
batch_size: {choice: [16, 32, 64]}                # one of these, without an order
weight_decay: 0.01                                # fixed
momentum: {float: [0.8, 0.99], when: {optimizer: sgd}}
layer_decay: {float: [0.6, 1.0], when: {freeze_depth: {below: max}}}
warmup: {fixed: 0.0, when: {schedule: constant}}  # fixed, and only under a condition
```

Ranges include both ends. `step` must reach the upper end; `log` and `step` exclude each other. No
value may lie outside what `train` itself allows.

`when` makes a parameter conditional: it is in use, and sampled, only if every condition holds;
otherwise the trial has the value from `train`. A condition names a parameter of the space or
another key of `train`, and gives the value it must have (`optimizer: sgd`), a list of such values
(`optimizer: [sgd, adam]`), or a comparison: `{below: 4}`, `{above: 0}`, `{not: constant}`, also
two of them together. A parameter that is itself not in use fulfils no condition. Parameters are
sampled in the order written, but parents before what depends on them.

`search.first` lists settings to try first, e.g. `[{learning_rate: 1e-3, freeze_depth: max}]`; what
a setting leaves out is sampled. The `grid` sampler needs a `step` on every float.

## Samplers and pruners

All are Optuna's algorithms but `pbt`. What each costs, and with how many slots:
[scaling.md](scaling.md).

| `search.sampler` | what it does, and when to take it |
|---|---|
| `tpe` | models which settings are good after ten random ones; the default |
| `random` | no model; for thousands of slots at once, or as a baseline |
| `qmc` | as random, but spread more evenly (a quasi-random sequence) |
| `grid` | every combination once; for small spaces |
| `gp` | a Gaussian process; for few and long trials |
| `cmaes` | an evolution strategy; for spaces of numbers without choices and conditions |
| `pbt` | changes settings [while the model trains](population-based-training.md) |

| `search.pruner` | which trials it stops |
|---|---|
| `asha` | at rungs, each three times as late as the last, all but the best third; the default |
| `hyperband` | the same in brackets, some of which begin later; needs the number of epochs |
| `median` | after each epoch, those below the median of complete trials, once there are five |
| `none` | none; for few or short trials |
"""
