# SPDX-License-Identifier: MIT
# ARAGORA_TRY_FLAG(VARIABLE, FLAG): append FLAG when the compiler takes it
# without a word.
AC_DEFUN([ARAGORA_TRY_FLAG], [
    aragora_save_CFLAGS=$CFLAGS
    CFLAGS="-Werror $2"
    AC_MSG_CHECKING([whether $CC accepts $2])
    AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
        [AC_MSG_RESULT([yes]); $1="[$]$1 $2"], [AC_MSG_RESULT([no])])
    CFLAGS=$aragora_save_CFLAGS
])

AC_DEFUN([ARAGORA_WARNINGS], [
    WARN_CFLAGS="-std=gnu17"
    m4_foreach_w([flag], [-Wall -Wextra -Wshadow -Wconversion
        -Wstrict-prototypes -Wmissing-prototypes -Wformat=2 -Wvla -Wcast-qual
        -Wwrite-strings -Wnull-dereference -Wimplicit-fallthrough
        -Wswitch-enum -Wundef -Wno-missing-field-initializers], [
        ARAGORA_TRY_FLAG([WARN_CFLAGS], flag)])
    AC_SUBST([WARN_CFLAGS])
])

AC_DEFUN([ARAGORA_HARDENING], [
    AC_ARG_ENABLE([hardening], [AS_HELP_STRING([--disable-hardening],
        [leave out the hardening flags])], [], [enable_hardening=yes])
    HARD_CFLAGS=
    HARD_LDFLAGS=
    AS_IF([test "x$enable_hardening" = xyes], [
        m4_foreach_w([flag], [-fstack-protector-strong
            -fstack-clash-protection -fcf-protection
            -ftrivial-auto-var-init=zero -fPIE], [
            ARAGORA_TRY_FLAG([HARD_CFLAGS], flag)])
        HARD_LDFLAGS="-pie -Wl,-z,relro,-z,now -Wl,--as-needed"
    ])
    AC_SUBST([HARD_CFLAGS])
    AC_SUBST([HARD_LDFLAGS])
])

# --with-sanitizer=address,undefined or thread. _FORTIFY_SOURCE hides what
# the sanitizers look for, so it is set only without them.
AC_DEFUN([ARAGORA_SANITIZER], [
    AC_ARG_WITH([sanitizer], [AS_HELP_STRING([--with-sanitizer=LIST],
        [build with -fsanitize=LIST: address,undefined or thread])],
        [], [with_sanitizer=no])
    sanitizer=$with_sanitizer
    SAN_CFLAGS=
    SAN_LDFLAGS=
    AS_IF([test "x$sanitizer" = xyes], [sanitizer=address,undefined])
    AS_IF([test "x$sanitizer" != xno], [
        aragora_save_CFLAGS=$CFLAGS
        aragora_save_LDFLAGS=$LDFLAGS
        CFLAGS="-fsanitize=$sanitizer"
        LDFLAGS="-fsanitize=$sanitizer"
        AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [],
            [AC_MSG_ERROR([$CC does not take -fsanitize=$sanitizer])])
        CFLAGS=$aragora_save_CFLAGS
        LDFLAGS=$aragora_save_LDFLAGS
        SAN_CFLAGS="-fsanitize=$sanitizer -fno-omit-frame-pointer -fno-sanitize-recover=all"
        SAN_LDFLAGS="-fsanitize=$sanitizer"
        AC_DEFINE([WITH_SANITIZER], [1], [built with a sanitizer])
    ], [
        AS_IF([test "x$enable_hardening" = xyes && echo "$CFLAGS" |
            grep -q -e '-O@<:@123s@:>@'], [
            HARD_CPPFLAGS="-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3"])
    ])
    AC_SUBST([HARD_CPPFLAGS])
    AC_SUBST([SAN_CFLAGS])
    AC_SUBST([SAN_LDFLAGS])
])

# Fuzz targets are always built as replay programs over their corpus, so that
# they cannot rot; --enable-fuzzers (with clang) makes them libFuzzer binaries.
AC_DEFUN([ARAGORA_FUZZERS], [
    AC_ARG_ENABLE([fuzzers], [AS_HELP_STRING([--enable-fuzzers],
        [build the fuzz targets with libFuzzer (needs CC=clang)])],
        [], [enable_fuzzers=no])
    FUZZ_CFLAGS=
    FUZZ_LDFLAGS=
    AS_IF([test "x$enable_fuzzers" = xyes], [
        aragora_save_CFLAGS=$CFLAGS
        CFLAGS="-fsanitize=fuzzer-no-link"
        AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])], [],
            [AC_MSG_ERROR([$CC has no libFuzzer; configure with CC=clang])])
        CFLAGS=$aragora_save_CFLAGS
        SAN_CFLAGS="$SAN_CFLAGS -fsanitize=fuzzer-no-link"
        FUZZ_LDFLAGS="-fsanitize=fuzzer"
    ])
    AM_CONDITIONAL([ENABLE_FUZZERS], [test "x$enable_fuzzers" = xyes])
    AC_SUBST([FUZZ_LDFLAGS])
])

AC_DEFUN([ARAGORA_COVERAGE], [
    AC_ARG_ENABLE([coverage], [AS_HELP_STRING([--enable-coverage],
        [build for gcov; `make coverage' prints the figures])],
        [], [enable_coverage=no])
    COV_CFLAGS=
    COV_LDFLAGS=
    AS_IF([test "x$enable_coverage" = xyes], [
        COV_CFLAGS="--coverage -O0"
        COV_LDFLAGS="--coverage"
    ])
    AM_CONDITIONAL([ENABLE_COVERAGE], [test "x$enable_coverage" = xyes])
    AC_SUBST([COV_CFLAGS])
    AC_SUBST([COV_LDFLAGS])
])

AC_DEFUN([AX_PTHREAD_MINIMAL], [
    AC_SEARCH_LIBS([pthread_create], [pthread], [],
        [AC_MSG_ERROR([POSIX threads are required])])
])
