# Macros of this build.

# DAL_REQUIRE_PKG(VAR, MODULE, DEBIAN-PACKAGE): a pkg-config module that must be there.
AC_DEFUN([DAL_REQUIRE_PKG], [
  PKG_CHECK_MODULES([$1], [$2], [],
    [AC_MSG_ERROR([$2 was not found: install it (Debian: apt-get install $3), then configure again])])
])

# DAL_OPTIONAL_PKG(VAR, MODULE): one that only some parts need: have_var is yes or no, HAVE_VAR a condition of Automake,
# and VAR_CFLAGS says -DDAL_HAVE_VAR=1.
AC_DEFUN([DAL_OPTIONAL_PKG], [
  PKG_CHECK_MODULES([$1], [$2], [m4_tolower([have_$1])=yes; $1_CFLAGS="$$1_CFLAGS -DDAL_HAVE_$1=1"],
    [m4_tolower([have_$1])=no])
  AM_CONDITIONAL([HAVE_$1], [test "x$m4_tolower([have_$1])" = xyes])
])

# DAL_REQUIRE_LIB(VAR, LIB, FUNCTION, HEADER, DEBIAN-PACKAGE): the same for a library without pkg-config.
AC_DEFUN([DAL_REQUIRE_LIB], [
  AC_CHECK_HEADER([$4], [],
    [AC_MSG_ERROR([$4 was not found: install it (Debian: apt-get install $5), then configure again])])
  AC_CHECK_LIB([$2], [$3], [$1_LIBS="-l$2"],
    [AC_MSG_ERROR([lib$2 was not found: install it (Debian: apt-get install $5), then configure again])])
  AC_SUBST([$1_LIBS])
])

# Wide warnings for everybody, fatal on request; hidden visibility; no value-changing float flags.
AC_DEFUN([DAL_COMPILER_FLAGS], [
  AC_ARG_ENABLE([werror], [AS_HELP_STRING([--enable-werror], [make compiler warnings errors])],
    [], [enable_werror=no])
  DAL_CFLAGS="-std=c11 -fvisibility=hidden -ffp-contract=off -fno-math-errno -fno-trapping-math"
  DAL_CXXFLAGS=
  for flag in -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla \
              -Wconversion -Wdouble-promotion -Wcast-qual -Wwrite-strings; do
    DAL_PROBE_FLAG([$flag])
  done
  AS_IF([test "x$enable_werror" = xyes], [DAL_CFLAGS="$DAL_CFLAGS -Werror"])
  AC_SUBST([DAL_CFLAGS])

  # For loops over numbers. The -O2 of most CFLAGS stands behind these and would undo -O3, but not the
  # vectoriser when it is asked for by name.
  DAL_KERNEL_CFLAGS=-O3
  dal_save_dal_cflags=$DAL_CFLAGS
  DAL_CFLAGS=
  for flag in -ftree-vectorize -fvect-cost-model=dynamic -funswitch-loops -fpeel-loops; do
    DAL_PROBE_FLAG([$flag])
  done
  DAL_KERNEL_CFLAGS="$DAL_KERNEL_CFLAGS$DAL_CFLAGS"
  DAL_CFLAGS=$dal_save_dal_cflags
  AC_SUBST([DAL_KERNEL_CFLAGS])
])

AC_DEFUN([DAL_PROBE_FLAG], [
  dal_save_cflags=$CFLAGS
  CFLAGS="$CFLAGS -Werror $1"
  AC_COMPILE_IFELSE([AC_LANG_PROGRAM()], [DAL_CFLAGS="$DAL_CFLAGS $1"])
  CFLAGS=$dal_save_cflags
])

# --enable-sanitizers=address,undefined
AC_DEFUN([DAL_SANITIZERS], [
  AC_ARG_ENABLE([sanitizers],
    [AS_HELP_STRING([--enable-sanitizers=LIST], [build everything with these sanitizers (address,undefined)])],
    [], [enable_sanitizers=no])
  AS_IF([test "x$enable_sanitizers" = xyes], [enable_sanitizers=address,undefined])
  AS_IF([test "x$enable_sanitizers" != xno], [
    DAL_SAN="-fsanitize=$enable_sanitizers -fno-sanitize-recover=all -fno-omit-frame-pointer"
    dal_save_cflags=$CFLAGS; CFLAGS="$CFLAGS $DAL_SAN"
    AC_LINK_IFELSE([AC_LANG_PROGRAM()], [],
      [AC_MSG_ERROR([the compiler does not support -fsanitize=$enable_sanitizers])])
    CFLAGS=$dal_save_cflags])
  # Where the kernel lays out memory with 32 random bits, gcc 12's AddressSanitizer fails at every fourth start or so:
  # what is run from this build goes without random layout, where that is allowed.
  DAL_STEADY=
  AS_IF([test "x$enable_sanitizers" != xno && setarch "`uname -m`" -R true 2>/dev/null],
    [DAL_STEADY="setarch `uname -m` -R"])
  AM_CONDITIONAL([SANITIZED], [test "x$enable_sanitizers" != xno])
  AC_SUBST([DAL_SAN])
  AC_SUBST([DAL_STEADY])
])
