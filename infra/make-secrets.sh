#!/bin/sh
# Make the secrets that compose.yaml mounts, each a file, in infra/secrets (or the folder named).
#
#   infra/make-secrets.sh [FOLDER]
#
# The folder is for its owner alone (0700); the files in it can be read by whatever uid a container
# runs as. A certificate of our own is made for a trial: put your own over tls.pem.
set -eu
umask 022
folder=${1:-"$(dirname "$0")/secrets"}
if [ -e "$folder" ]; then
  echo "$folder is there already; nothing was changed" >&2
  exit 2
fi
made="$folder.new.$$"
trap 'rm -rf "$made"' EXIT
mkdir -m 0700 "$made"
secret() { openssl rand -hex 24; }

for role in superuser owner service; do secret > "$made/postgres-$role"; done
# libpq takes a password from a service file whatever its mode, from a pgpass file only at 0600.
for role in owner service; do
  printf '[evault]\npassword=%s\n' "$(cat "$made/postgres-$role")" > "$made/pg-service-$role.conf"
done

owner=$(secret) vault=$(secret)
profile() { printf '[%s]\naws_access_key_id = %s\naws_secret_access_key = %s\n' "$1" "evault-$1" "$2"; }
{ profile owner "$owner"; profile vault "$vault"; } > "$made/aws-init"
profile vault "$vault" > "$made/aws-vault"
# The vault's own key: in its bucket alone, without the right to pass a governance lock, to change
# the bucket, or to make another.
cat > "$made/s3.json" <<JSON
{"identities": [
  {"name": "owner",
   "credentials": [{"accessKey": "evault-owner", "secretKey": "$owner"}],
   "actions": ["Admin"]},
  {"name": "vault",
   "credentials": [{"accessKey": "evault-vault", "secretKey": "$vault"}],
   "actions": ["Read:evidence", "Write:evidence", "List:evidence",
               "GetObjectRetention:evidence", "PutObjectRetention:evidence",
               "GetObjectLegalHold:evidence", "PutObjectLegalHold:evidence"]}
]}
JSON

openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost,IP:127.0.0.1 \
  -keyout "$made/tls.key" -out "$made/tls.crt" 2> /dev/null
cat "$made/tls.crt" "$made/tls.key" > "$made/tls.pem"
rm "$made/tls.key"
chmod 0644 "$made"/*
mv "$made" "$folder"
trap - EXIT
echo "made $folder; back it up with the vault's home"
