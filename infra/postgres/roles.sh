#!/bin/sh
# Two roles, as `evault init --database-owner` wants them: one makes and owns the tables, the other
# serves, and may alter or remove no log entry. Run once, as the superuser, by the image's start.
# Passwords are read by psql itself, so that no process list shows them.
set -eu
SECRETS=${EVAULT_SECRETS:-/run/secrets}
psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$POSTGRES_USER" --dbname postgres \
  --set folder="$SECRETS" <<'SQL'
\set owner `cat :'folder'/postgres-owner`
\set service `cat :'folder'/postgres-service`
CREATE ROLE evault_owner LOGIN PASSWORD :'owner';
CREATE ROLE evault_service LOGIN PASSWORD :'service';
CREATE DATABASE evault OWNER evault_owner;
REVOKE ALL ON DATABASE evault FROM PUBLIC;
GRANT CONNECT ON DATABASE evault TO evault_service;
SQL
