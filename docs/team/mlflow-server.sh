#!/bin/sh
# MLflow's tracking server for a team: runs and registry in PostgreSQL, artifacts in a folder that
# it serves itself, so that nobody else needs to see that folder.
#
#   MLFLOW_BACKEND_STORE_URI  postgresql://mlflow@HOST/mlflow, the password in ~/.pgpass
#   ARTIFACTS                 the folder, or s3://bucket/folder
#   ADDRESS                   host as people's machines name it, with :PORT if it is not the
#                             scheme's usual one; other names are refused
#   LISTEN, PORT, WORKERS     where it listens (127.0.0.1, 5000), and its processes (4)
#
# It has no login: whoever reaches its port reads, changes and deletes everything, and may register
# models, which are code that `predict` and `mlflow models serve` run. So it listens on this machine
# alone, for a proxy beside it that asks for a login and has the certificate. Without one, on a
# network where everybody is trusted: LISTEN=10.0.0.7, the address in that network (0.0.0.0: all).
set -eu
: "${MLFLOW_BACKEND_STORE_URI:?}" "${ARTIFACTS:?}" "${ADDRESS:?}"
# Jobs judge language models; without them no queue processes are started.
export MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
exec mlflow server --host "${LISTEN:-127.0.0.1}" --port "${PORT:-5000}" --workers "${WORKERS:-4}" \
  --serve-artifacts --artifacts-destination "$ARTIFACTS" --allowed-hosts "$ADDRESS"
