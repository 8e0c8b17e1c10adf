#!/bin/sh
# Make what compose.yaml needs on this machine: secrets that nobody chose, and folders of the user who runs this.
# What exists is left as it is. MMSA_RUNS and MMSA_DATA name the folders of runs and of data.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets
for name in postgres_password mlflow_admin_password mlflow_secret_key ray_token; do
  [ -s "secrets/$name" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "secrets/$name"
done
runs=${MMSA_RUNS:-$(cd .. && pwd)/runs}
data=${MMSA_DATA:-$(cd .. && pwd)/data}
mkdir -p "$runs/mlflow" "$data"
# Containers run as this user: they can read the secrets, and what they write is the user's. Never as root.
uid=$(id -u) gid=$(id -g)
if [ "$uid" -eq 0 ]; then
  uid=${SUDO_UID:-1000} gid=${SUDO_GID:-1000}
  chown -R "$uid:$gid" secrets "$runs"
fi
[ -e .env ] || printf 'MMSA_UID=%s\nMMSA_GID=%s\nMMSA_RUNS=%s\nMMSA_DATA=%s\n' "$uid" "$gid" "$runs" "$data" > .env
echo "secrets are in $PWD/secrets, settings in $PWD/.env; MLflow's user is admin, its password in"
echo "$PWD/secrets/mlflow_admin_password"
