# shellcheck shell=bash
# SPDX-License-Identifier: MIT
#
# What this tree needs from Debian 12, in one place; sourced by quickstart and
# check.
#
#   aragora_packages build|run|test   print package names, one a line
#   aragora_install build run ...     install those that are missing
#   aragora_install_npm               what the tests take from npm

# The names of one group: build = compile and install, run = serve on this
# machine, test = everything scripts/check uses beside the two.
aragora_packages() {
	case $1 in
	build)
		printf '%s\n' autoconf automake gcc libc6-dev make pkg-config \
			libfcgi-dev libpq-dev libsqlite3-dev libhiredis-dev \
			libcurl4-openssl-dev libssl-dev \
			zlib1g-dev libsodium-dev
		;;
	run)
		printf '%s\n' nginx ca-certificates
		;;
	test)
		printf '%s\n' check clang clang-format libclang-rt-14-dev git iproute2 \
			shellcheck xz-utils spawn-fcgi multiwatch \
			apache2-bin libapache2-mod-fcgid lighttpd postgresql pgbouncer \
			redis-server python3 python3-pytest python3-pytest-xdist \
			python3-httpx python3-hypothesis python3-jsonschema \
			python3-websockets python3-psycopg2 python3-redis \
			python3-cryptography python3-selenium chromium \
			chromium-driver logrotate nodejs npm procps prometheus \
			python3-autobahn python3-wsproto python3-yaml strace \
			systemd build-essential curl debhelper devscripts \
			lintian mmdebstrap jq sqlite3 \
			nghttp2-client wrk php8.2-fpm php8.2-opcache php8.2-pgsql \
			python3-asyncpg python3-fastapi python3-httptools \
			python3-ujson python3-uvicorn python3-uvloop
		;;
	*)
		echo "packages: unknown group '$1'" >&2
		return 2
		;;
	esac
}

# Is a package, or one that provides it, installed?
aragora_has_package() {
	local status

	status=$(dpkg-query -W -f '${db:Status-Status}\n' "$1" 2>/dev/null)
	case $status in
	*installed*) [[ $status != *not-installed* ]] && return 0 ;;
	esac
	# Any nginx and any redis will do.
	case $1 in
	nginx) [[ -x /usr/sbin/nginx ]] ;;
	# npm may have come with another Node than Debian's.
	pkg-config | npm) command -v "$1" >/dev/null ;;
	*) return 1 ;;
	esac
}

# Run a command as root: directly, or through sudo.
aragora_as_root() {
	if [[ $(id -u) -eq 0 ]]; then
		"$@"
	elif command -v sudo >/dev/null; then
		sudo "$@"
	else
		echo "packages: this needs root or sudo: $*" >&2
		return 1
	fi
}

aragora_install() {
	local group package
	local missing=()

	if ! command -v dpkg-query >/dev/null ||
		! command -v apt-get >/dev/null; then
		echo "packages: this is not Debian; needed are, under" \
			"whatever names they have here:" >&2
		for group in "$@"; do
			aragora_packages "$group" | sed 's/^/    /' >&2
		done
		echo "packages: going on as if they were installed" >&2
		return 0
	fi
	for group in "$@"; do
		while read -r package; do
			aragora_has_package "$package" ||
				missing+=("$package")
		done < <(aragora_packages "$group")
	done
	[[ ${#missing[@]} -eq 0 ]] && return 0

	echo "packages: installing ${missing[*]}"
	aragora_as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get update -qq &&
		aragora_as_root env DEBIAN_FRONTEND=noninteractive \
			apt-get install -y -qq --no-install-recommends \
			-o Dpkg::Use-Pty=0 "${missing[@]}" >/dev/null
}

# What tests/npm names, into build/npm, unless it is there already.
aragora_install_npm() {
	local to=build/npm

	cmp -s tests/npm/package-lock.json "$to/installed.json" && return 0
	mkdir -p "$to" && rm -f "$to/installed.json" &&
		cp tests/npm/package.json tests/npm/package-lock.json "$to" &&
		npm ci --prefix "$to" --ignore-scripts --no-audit --no-fund &&
		cp tests/npm/package-lock.json "$to/installed.json"
}
