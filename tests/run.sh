# SPDX-License-Identifier: MIT
# Runs one test program for `make check`. A fuzz target is fed its corpus,
# tests/fuzz/corpus/NAME for fuzz_NAME: each file once, whether it is a
# libFuzzer binary or a replay program.
program=$1
name=${program##*/}

case $name in
fuzz_*)
	corpus=${srcdir:?}/tests/fuzz/corpus/${name#fuzz_}
	if [ -z "$(ls "$corpus" 2>/dev/null)" ]; then
		echo "$name: no corpus in $corpus" >&2
		exit 1
	fi
	exec "$program" -runs=0 "$corpus"
	;;
*)
	exec "$@"
	;;
esac
