#!/bin/sh
# What the entry point of PostgreSQL's image is documented to do, with Debian's server: make the database once,
# run the files of /docker-entrypoint-initdb.d, then run the command as the server's user.
set -eu
data=/var/lib/postgresql/data
POSTGRES_PASSWORD=$(cat "$POSTGRES_PASSWORD_FILE")
export POSTGRES_PASSWORD
if [ ! -s "$data/PG_VERSION" ]; then
  chown postgres "$data"
  printf '%s' "$POSTGRES_PASSWORD" > /tmp/pw
  chown postgres /tmp/pw
  # shellcheck disable=SC2086  # several words, as in the image
  setpriv --reuid=postgres --regid=postgres --clear-groups \
    initdb -D "$data" --username="$POSTGRES_USER" --pwfile=/tmp/pw $POSTGRES_INITDB_ARGS > /dev/null
  rm /tmp/pw
  printf "host all all all scram-sha-256\n" >> "$data/pg_hba.conf"
  printf "listen_addresses = '*'\nunix_socket_directories = '/var/run/postgresql'\n" >> "$data/postgresql.conf"
  as="setpriv --reuid=postgres --regid=postgres --clear-groups"
  $as pg_ctl -D "$data" -o "-c listen_addresses=''" -w start > /dev/null
  createdb -U "$POSTGRES_USER" "$POSTGRES_DB"
  for file in /docker-entrypoint-initdb.d/*.sql; do
    psql -q -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v ON_ERROR_STOP=1 -f "$file"
  done
  $as pg_ctl -D "$data" -w stop > /dev/null
fi
export PGDATA="$data"
exec setpriv --reuid=postgres --regid=postgres --clear-groups "$@"
