#!/bin/sh
# Builds meterline-test/servers without any registry of images: Debian by debootstrap, Python packages as wheels.
# Needs docker, debootstrap (as root) and a host with Python 3.11, the version of the image.
set -eu
cd "$(dirname "$0")"
root=$(cd ../../.. && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

if ! docker image inspect meterline-test/base >/dev/null 2>&1; then
    debootstrap --variant=minbase --include=python3,python3-venv bookworm "$work/base" \
        "${METERLINE_TEST_DEBIAN:-http://deb.debian.org/debian}" >&2
    rm -rf "$work"/base/var/cache/apt/archives/*.deb "$work"/base/var/lib/apt/lists/*
    tar -C "$work/base" -c . | docker import - meterline-test/base >/dev/null
fi

mkdir "$work/context"
cp Dockerfile "$work/context"
uv=$root/scripts/uv
"$uv" export --quiet --project "$root" --frozen --no-dev --extra embedded --no-emit-project --no-hashes \
    --output-file "$work/requirements.txt" >/dev/null
python3 -m pip download --quiet --disable-pip-version-check --only-binary=:all: --no-deps \
    --python-version 3.11 --dest "$work/context/wheels" --requirement "$work/requirements.txt" >&2
"$uv" build --quiet --wheel --out-dir "$work/context/wheels" "$root" >&2
docker build --quiet --tag meterline-test/servers "$work/context" >&2
