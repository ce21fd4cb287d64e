#!/usr/bin/env bash
# Snakemake runs this after it has made the environment of environment.yml (`--software-deployment-method conda`).
# The working folder is the project's root.
set -euo pipefail
python -m pip install --no-deps .
