#!/usr/bin/env bash
# Try the two commands as a newcomer would: clone HEAD into a temporary folder, run, test.
set -euo pipefail
source=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
clone=$(mktemp -d)/mapsr
trap 'rm -rf "$(dirname "$clone")"' EXIT
git clone --quiet "$source" "$clone"
cd "$clone"
env -u VIRTUAL_ENV make run
env -u VIRTUAL_ENV make test
