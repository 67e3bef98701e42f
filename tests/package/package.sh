#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Build the Debian package from what git tracks, let lintian read it, install
# it into a fresh Debian 12 without anything else, run a debate there as the
# package's user, and purge it: nothing may be left.
#
#   tests/package/package.sh [FOLDER]     works in FOLDER (build/package)
set -eu -o pipefail

ROOT=$(cd "$(dirname "$0")/../.." && pwd)
work=${1:-$ROOT/build/package}
suite=bookworm
passed=0

say() {
	passed=$((passed + 1))
	echo "ok: $*"
}

fail() {
	echo "FAILED: $*" >&2
	exit 1
}

build() {
	local version

	version=$(dpkg-parsechangelog -l "$ROOT/debian/changelog" -S Version)
	rm -rf "$work"
	mkdir -p "$work/aragora-$version"
	(cd "$ROOT" && git ls-files -z | xargs -0 cp --parents -t \
		"$work/aragora-$version")
	(cd "$work/aragora-$version" &&
		DEB_BUILD_OPTIONS="nocheck parallel=$(nproc)" \
			dpkg-buildpackage -us -uc -b) >"$work/build.log" 2>&1 ||
		{
			tail -40 "$work/build.log" >&2
			fail "dpkg-buildpackage"
		}
	say "dpkg-buildpackage"
	lintian --allow-root --fail-on error "$work"/aragora_*.changes ||
		fail "lintian"
	say "lintian finds no error"
}

inside=(chroot "$work/root" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin
	LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive)
as_service=("${inside[@]}" setpriv --reuid=aragora --regid=aragora
	--clear-groups env ARAGORA_CONFIG=/etc/aragora/aragora.conf
	ARAGORA_DATA_DIR=/var/lib/aragora HOME=/var/lib/aragora)

leave() {
	local pid

	for pid in ${daemons-}; do
		kill "$pid" 2>/dev/null || true
	done
	mountpoint -q "$work/root/proc" && umount "$work/root/proc"
	return 0
}
trap leave EXIT

fresh() {
	mmdebstrap --quiet --variant=apt --mode=root --skip=cleanup/apt/lists \
		"$suite" "$work/root" || fail "mmdebstrap"
	mount -t proc proc "$work/root/proc"
	printf '#!/bin/sh\nexit 101\n' >"$work/root/usr/sbin/policy-rc.d"
	chmod 755 "$work/root/usr/sbin/policy-rc.d"
	cp "$work"/aragora_*.deb "$work/root/var/cache/apt/archives/"
}

install() {
	"${inside[@]}" sh -c 'apt-get install -y -q --no-install-recommends \
		/var/cache/apt/archives/aragora_*.deb' >"$work/install.log" 2>&1 ||
		{
			tail -20 "$work/install.log" >&2
			fail "install"
		}
	"${inside[@]}" dpkg --verify aragora || fail "installed files differ"
	"${inside[@]}" id aragora >/dev/null || fail "there is no user aragora"
	[[ -d $work/root/var/lib/aragora ]] ||
		"${inside[@]}" systemd-tmpfiles --create aragora.conf
	[[ $("${inside[@]}" stat -c '%U %a' /var/lib/aragora) == 'aragora 750' ]] ||
		fail "/var/lib/aragora is not the service's alone"
	[[ -L $work/root/etc/systemd/system/multi-user.target.wants/aragora.target ]] ||
		fail "aragora.target is not enabled"
	say "installs"
}

run() {
	local i

	"${as_service[@]}" aragora migrate >/dev/null || fail "aragora migrate"
	"${as_service[@]}" aragora-fcgi --listen unix:/run/aragora/fcgi.sock \
		2>"$work/fcgi.log" &
	daemons="$!"
	"${as_service[@]}" aragora-ws --listen unix:/run/aragora/ws.sock \
		2>"$work/ws.log" &
	daemons="$daemons $!"
	"${as_service[@]}" aragora-runner 2>"$work/runner.log" &
	daemons="$daemons $!"
	for ((i = 0; i < 100; i++)); do
		[[ -S $work/root/run/aragora/fcgi.sock &&
			-S $work/root/run/aragora/ws.sock ]] && break
		sleep 0.2
	done
	"${as_service[@]}" aragora debate 'Tea or coffee?' --agents demo,demo \
		--rounds 1 >"$work/debate.log" 2>&1 || {
		cat "$work/debate.log" >&2
		fail "a debate"
	}
	for i in $daemons; do
		kill "$i" || fail "a daemon had ended: see $work/*.log"
	done
	for i in $daemons; do
		wait "$i" || fail "a daemon ended with $?: see $work/*.log"
	done
	daemons=
	say "runs a debate as the service's user"
}

purge() {
	local left

	"${inside[@]}" apt-get purge -y -q aragora >"$work/purge.log" 2>&1 ||
		fail "purge"
	left=$(find "$work/root" -xdev -path "$work/root/proc" -prune -o \
		-name '*aragora*' ! -name '*.deb' ! -path '*/apt/*' -print)
	[[ -z $left ]] || fail "purge leaves $left"
	say "purges"
}

build
fresh
install
run
purge
echo "$passed passed, 0 failed"
