#!/bin/sh
# Remove what a build leaves in a folder and below it. Not a script to try out at home.
set -eu
cd "${1:?usage: tidy.sh FOLDER}"
find . -name '*.pyc' -delete
find . -depth -type d \( -name __pycache__ -o -name .cache \) -exec rm -rf {} +
