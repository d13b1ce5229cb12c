#!/usr/bin/env bash
# Find a PostgreSQL server for the tests of the database, or install Debian's. They start one of their own: this one is not touched.
# Never fails: without a server those tests are skipped, and say so.
set -uo pipefail
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && exit 0
command -v initdb >/dev/null && exit 0
if command -v apt-get >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo "sudo -n")
  $as_root apt-get update -qq >/dev/null 2>&1
  # Debian would start a server of its own; the binaries are all that is wanted.
  rule=/etc/postgresql-common/createcluster.d/studio-tests.conf
  $as_root sh -c "mkdir -p $(dirname $rule) && echo 'create_main_cluster = false' > $rule" 2>/dev/null
  $as_root env DEBIAN_FRONTEND=noninteractive timeout 300 apt-get install -y -qq --no-install-recommends postgresql >/dev/null 2>&1
  $as_root rm -f "$rule" 2>/dev/null
  compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && exit 0
fi
echo "No PostgreSQL server found and none could be installed: the tests that need one will be skipped." >&2
exit 0
