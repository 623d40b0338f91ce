#!/bin/sh
# Writes a minimal root filesystem of Debian or Ubuntu to stdout as a tar, made from the host's own package mirror.
# Meant for `docker import`: the base image of a station that reaches package sources but no container registry.
#
# usage: bootstrap.sh SUITE ARCH SOURCES_FILE
#   SUITE         trixie, noble, ...
#   ARCH          the distribution's name for it: amd64, arm64
#   SOURCES_FILE  one-line apt sources ("deb URL SUITE COMPONENT ..."); it may hold credentials, so it is a file and
#                 nothing of it stays in the image
set -eu

suite=$1 arch=$2 sources=$3

# python3: launcher and router; ca-certificates: TLS; libgomp1: llama.cpp is built with OpenMP.
packages=python3,ca-certificates,libgomp1

# Documentation, manual pages and translations are two thirds of a minbase; licences stay.
exec mmdebstrap --quiet --variant=minbase --architectures="$arch" --include="$packages" \
  --aptopt='Acquire::Retries "3"' \
  --aptopt='Acquire::Languages "none"' \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/info/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --customize-hook='rm -f "$1"/etc/apt/sources.list "$1"/etc/apt/sources.list.d/* "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/hostname "$1"/etc/resolv.conf' \
  --customize-hook='rm -rf "$1"/var/log/apt "$1"/var/log/dpkg.log "$1"/var/log/bootstrap.log "$1"/var/log/alternatives.log' \
  --customize-hook='rm -rf "$1"/var/cache/debconf/*-old "$1"/var/lib/dpkg/*-old' \
  "$suite" - - <"$sources"
