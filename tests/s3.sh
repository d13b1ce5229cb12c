#!/usr/bin/env bash
# A server that speaks S3, for the tests of the object store: moto, in an environment of its own, since the botocore that it needs
# does not go with the pandas of the studio. Never fails: without it those tests run on a folder only, and say so.
set -uo pipefail
place=.venv/s3
[ -x "$place/bin/python" ] && "$place/bin/python" -c 'import moto.server' 2>/dev/null && exit 0
rm -rf "$place"
.venv/bin/uv venv --quiet --python .venv/bin/python "$place" \
  && .venv/bin/uv pip install --quiet --python "$place/bin/python" --require-hashes --requirement tests/s3.lock && exit 0
rm -rf "$place"
echo "moto could not be installed: the tests that need a server that speaks S3 will be skipped." >&2
exit 0
