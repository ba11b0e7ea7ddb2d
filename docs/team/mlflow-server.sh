#!/bin/sh
# MLflow's tracking server for a team: runs and registry in PostgreSQL, artifacts in a folder that
# it serves itself, so that nobody else needs to see that folder.
#
#   MLFLOW_BACKEND_STORE_URI  postgresql://mlflow@HOST/mlflow, the password in ~/.pgpass
#   ARTIFACTS                 the folder, or s3://bucket/folder
#   ADDRESS                   HOST:PORT as people's machines name it; other names are refused
#   LISTEN, PORT, WORKERS     where it listens (0.0.0.0, 5000), and its processes (4)
set -eu
: "${MLFLOW_BACKEND_STORE_URI:?}" "${ARTIFACTS:?}" "${ADDRESS:?}"
# Jobs judge language models; without them no queue processes are started.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
exec mlflow server --host "${LISTEN:-0.0.0.0}" --port "${PORT:-5000}" --workers "${WORKERS:-4}" \
  --serve-artifacts --artifacts-destination "$ARTIFACTS" --allowed-hosts "$ADDRESS"
