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

# DAL_OPTIONAL_LIB(VAR, LIB, FUNCTION, HEADER): the same for a library without pkg-config.
AC_DEFUN([DAL_OPTIONAL_LIB], [
  m4_tolower([have_$1])=no
  AC_CHECK_HEADER([$4], [AC_CHECK_LIB([$2], [$3], [m4_tolower([have_$1])=yes])])
  AS_IF([test "x$m4_tolower([have_$1])" = xyes], [$1_LIBS="-l$2" $1_CFLAGS="-DDAL_HAVE_$1=1"], [$1_LIBS= $1_CFLAGS=])
  AC_SUBST([$1_LIBS])
  AC_SUBST([$1_CFLAGS])
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

# --with-onednn=auto|yes|no: convolutions of libdal's networks by oneDNN. Debian's libdnnl-dev has no pkg-config file.
AC_DEFUN([DAL_ONEDNN], [
  AC_ARG_WITH([onednn],
    [AS_HELP_STRING([--with-onednn], [use oneDNN for convolutions: yes, no or auto, which is if it is there])],
    [], [with_onednn=auto])
  have_onednn="no (asked for)"
  ONEDNN_CFLAGS=
  ONEDNN_LIBS=
  AS_IF([test "x$with_onednn" != xno], [
    have_onednn="no (libdnnl-dev): networks of layers run on OpenBLAS alone"
    PKG_CHECK_MODULES([ONEDNN], [dnnl >= 2.6 dnnl < 3], [:], [ONEDNN_LIBS=-ldnnl])
    dal_save_libs=$LIBS
    dal_save_cppflags=$CPPFLAGS
    ONEDNN_LIBS="$ONEDNN_LIBS -lgomp" # oneDNN asks OpenMP how wide to run, and we tell it
    LIBS="$ONEDNN_LIBS $LIBS"
    CPPFLAGS="$CPPFLAGS $ONEDNN_CFLAGS"
    AC_MSG_CHECKING([for oneDNN 2.6 or a later 2 on OpenMP])
    AC_LINK_IFELSE([AC_LANG_PROGRAM([[
#include <dnnl.h>
#if DNNL_VERSION_MAJOR != 2 || DNNL_VERSION_MINOR < 6 || DNNL_CPU_RUNTIME != DNNL_RUNTIME_OMP
#error another oneDNN
#endif
int omp_get_max_threads(void);
]], [[return dnnl_version()->major == 2 && omp_get_max_threads() > 0 ? 0 : 1;]])],
      [have_onednn=yes])
    AC_MSG_RESULT([$have_onednn])
    LIBS=$dal_save_libs
    CPPFLAGS=$dal_save_cppflags
    AS_IF([test "x$have_onednn" != xyes], [
      ONEDNN_CFLAGS=
      ONEDNN_LIBS=
      AS_IF([test "x$with_onednn" = xyes],
        [AC_MSG_ERROR([oneDNN was not found: install it (Debian: apt-get install libdnnl-dev), or configure without --with-onednn])])])])
  ONEDNN_CPPFLAGS=$ONEDNN_CFLAGS
  AS_IF([test "x$have_onednn" = xyes], [ONEDNN_CPPFLAGS="$ONEDNN_CFLAGS -DDAL_HAVE_ONEDNN"])
  AC_SUBST([ONEDNN_CPPFLAGS])
  AC_SUBST([ONEDNN_LIBS])
  AM_CONDITIONAL([HAVE_ONEDNN], [test "x$have_onednn" = xyes])
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
