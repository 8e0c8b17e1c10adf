#!/bin/sh
# Secrets are mounted as files. What wants one elsewhere gets it here: a file of this container alone, or, where
# MLflow's server takes nothing else, its environment. None is ever an argument, which `ps` would show.
set -eu
umask 077
folder=${MMSA_SECRETS:-/run/secrets}
HOME=$(mktemp -d)
export HOME

if [ -r "$folder/postgres_password" ]; then
  # libpq reads it for every address without a password; a colon or backslash in it needs a backslash
  printf '*:*:*:*:%s\n' "$(sed 's/[\\:]/\\&/g' "$folder/postgres_password")" > "$HOME/.pgpass"
  export PGPASSFILE="$HOME/.pgpass"
fi
if [ -r "$folder/mlflow_admin_password" ]; then
  mkdir "$HOME/.mlflow"
  {
    printf '[mlflow]\nmlflow_tracking_username = admin\n'
    printf 'mlflow_tracking_password = %s\n' "$(sed 's/%/%%/g' "$folder/mlflow_admin_password")"
  } > "$HOME/.mlflow/credentials"
fi
if [ -r "$folder/mlflow_secret_key" ]; then  # only the server is given this one
  MLFLOW_FLASK_SERVER_SECRET_KEY=$(cat "$folder/mlflow_secret_key")
  MLFLOW_AUTH_ADMIN_PASSWORD=$(cat "$folder/mlflow_admin_password")
  export MLFLOW_FLASK_SERVER_SECRET_KEY MLFLOW_AUTH_ADMIN_PASSWORD
fi
exec "$@"
