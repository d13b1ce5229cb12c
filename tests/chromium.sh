#!/usr/bin/env bash
# Find a Chromium for the browser tests, or install one: Playwright's own first, else Debian's package.
set -euo pipefail
for name in chromium chromium-browser google-chrome; do
  command -v "$name" >/dev/null && exit 0
done
if timeout 300 .venv/bin/playwright install chromium 2>/dev/null; then exit 0; fi
if command -v apt-get >/dev/null; then
  as_root=$([ "$(id -u)" = 0 ] || echo sudo)
  $as_root apt-get update -qq
  $as_root apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk fonts-noto-color-emoji >/dev/null
  exit 0
fi
echo "No Chromium found and none could be installed. Install Chromium, then run make test again." >&2
exit 1
