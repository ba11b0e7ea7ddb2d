"""The peers' sides of the benchmarks, written the way the peers' own documentation teaches.

    photos.py         what both sides read: one split of one folder, one weights file
    request.py        what a peer is asked to do, as JSON between processes
    network.py        the timm model, its layer groups, what freezing them saves
    plain_training.py PyTorch's transfer-learning loop on JPEG files
    optuna_loop.py    Optuna with MLflow's nested runs
    ray_loop.py       Ray Tune with its MLflowLoggerCallback
    idle.py           both of them with an objective that does nothing
    timm_loop.py      the training loop of timm's train.py, for one GPU
    by_hand.py        Optuna on features that somebody has computed once, by hand

Each peer runs twice: `USUAL` as its documentation introduces it, and `BEST` with what its
documentation says makes it faster. Nothing in here imports the runner, but for photos.py, which
prepares what both sides read before any clock runs.

Where the settings come from:

- The loop, the frozen backbone and the new head: docs.pytorch.org, "Transfer Learning for Computer
  Vision Tutorial". A fresh nn.Linear, as there: timm's own reset head would cost the peers
  accuracy.
- DataLoader workers, channels_last on CPUs too, gradients off in validation, zeroing gradients by
  None: docs.pytorch.org, "Performance Tuning Guide". persistent_workers: torch.utils.data.
- Frozen layers in evaluation mode, without gradients: timm.utils.freeze and its docstring.
- Several processes instead of threads, a journal file instead of SQLite, MaxTrialsCallback:
  optuna.readthedocs.io, "Easy Parallelization" and optuna.storages; SuccessiveHalvingPruner with
  its own defaults.
- Nested runs and log_metric: mlflow.org, "Hyperparameter Tuning with Child Runs"; log_params and
  log_metrics: its "Tracking API". Its asynchronous logging is not taken: on SQLite its threads
  wait for one another, and a trial that does nothing took several times as long.
- ASHAScheduler, reuse_actors with Trainable.reset_config, MLflowLoggerCallback: docs.ray.io,
  "Training in Tune", "Tune Trial Schedulers", "Using MLflow with Tune".
"""
